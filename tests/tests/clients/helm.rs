//! helm, which keeps charts in registries.

use std::fs;

use anyhow::{Result, ensure};
use e2e::program::{Person, fail, succeed};
use e2e::with_namespace;

use crate::{PASSWORD, WRONG, set_up};

#[tokio::test(flavor = "multi_thread")]
async fn helm_signs_in_pushes_and_pulls() -> Result<()> {
    with_namespace("helm", async |cluster| {
        let address = set_up(&cluster).await?;
        let alice = Person::new()?;
        let login = |password| {
            let account = ["--plain-http", "--username", "alice", "--password", password];
            alice.helm(&[&["registry", "login"], &account[..], &[address.as_str()]].concat())
        };
        fail(login(WRONG)?).await?;
        succeed(login(PASSWORD)?).await?;

        let chart = alice.home().join("chart");
        fs::create_dir(&chart)?;
        fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: app\nversion: 1.2.3\n")?;
        let (folder, pulled) = (alice.home().display().to_string(), alice.home().join("pulled"));
        succeed(alice.helm(&["package", &chart.display().to_string(), "--destination", &folder])?).await?;
        let archive = format!("{folder}/app-1.2.3.tgz");
        let charts = |of: &str| format!("oci://{address}/{of}");
        succeed(alice.helm(&["push", "--plain-http", &archive, &charts("team-a/charts")])?).await?;
        let app = charts("team-a/charts/app");
        let pull = ["pull", "--plain-http", &app, "--version", "1.2.3", "--destination"];
        fs::create_dir(&pulled)?;
        succeed(alice.helm(&[&pull[..], &[pulled.display().to_string().as_str()]].concat())?).await?;
        ensure!(
            fs::read(pulled.join("app-1.2.3.tgz"))? == fs::read(&archive)?,
            "another chart was pulled"
        );

        fail(alice.helm(&["push", "--plain-http", &archive, &charts("team-b/charts")])?).await?;
        succeed(alice.helm(&["push", "--plain-http", &archive, &charts("public/charts")])?).await?;

        // Somebody who never signed in may pull what is public, and nothing else.
        let stranger = Person::new()?;
        let pull_to_home = |from: &str| {
            let home = stranger.home().display().to_string();
            stranger.helm(&[
                "pull",
                "--plain-http",
                from,
                "--version",
                "1.2.3",
                "--destination",
                &home,
            ])
        };
        succeed(pull_to_home(&charts("public/charts/app"))?).await?;
        ensure!(
            fs::read(stranger.home().join("app-1.2.3.tgz"))? == fs::read(&archive)?,
            "another chart was pulled"
        );
        fail(pull_to_home(&app)?).await?;
        fail(stranger.helm(&["push", "--plain-http", &archive, &charts("public/other")])?).await?;

        succeed(alice.helm(&["registry", "logout", &address])?).await?;
        fail(alice.helm(&[&pull[..], &[folder.as_str()]].concat())?).await?;
        Ok(())
    })
    .await
}
