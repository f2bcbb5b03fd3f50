//! Many small requests: manifests by tag, and the base with credentials and without.

use anyhow::Result;
use base64::Engine as _;

use super::wrk::{Status, rate};
use crate::content::{IMAGE, Image};
use crate::contest::Contest;
use crate::figure::{Better, Figures, Goal, Row};
use crate::peer::{PASSWORD, Peer, USER};

pub(super) fn by_tag(contest: &Contest) -> Result<Vec<Row>> {
    let image = Image::new();
    let servers = contest.start_all("manifests")?;
    for (_, server) in &servers {
        image.push(&mut server.connect()?, "team/app", "v1")?;
    }
    let headers = [format!("Accept: {IMAGE}")];
    let [columns] = contest.rounds(&servers, |_, server| {
        Ok([rate(server, "/v2/team/app/manifests/v1", &headers, Status::Fine)?])
    })?;
    Ok(vec![Row {
        work: format!(
            "GET of a manifest of {} bytes by tag, 32 connections",
            image.manifest.len()
        ),
        unit: "/s",
        better: Better::Higher,
        columns,
        goal: Goal::Times(20.0, Peer::DockerRegistry.name()),
    }])
}

pub(super) fn signed_in(contest: &Contest) -> Result<Vec<Row>> {
    let server = contest.start(Peer::Wharfinger, "signed-in")?;
    let token = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let credentials = [format!("Authorization: Basic {token}")];
    let (mut with, mut without) = (Figures::default(), Figures::default());
    for _ in 0..contest.rounds {
        with.add(rate(&server, "/v2/", &credentials, Status::Fine)?);
        without.add(rate(&server, "/v2/", &[], Status::Refused)?);
    }
    Ok(vec![Row {
        work: "GET /v2/ with Basic credentials, 32 connections".into(),
        unit: "/s",
        better: Better::Higher,
        columns: vec![("wharfinger".into(), with), ("without credentials".into(), without)],
        goal: Goal::Times(0.8, "without credentials"),
    }])
}
