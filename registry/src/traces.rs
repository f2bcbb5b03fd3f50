//! Traces: a span for each request and for each operation of the store, sent to a collector by OTLP over HTTP.

use std::time::Duration;

use anyhow::Context;
use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// The target of the spans that are sent; none of them is part of the log.
pub(crate) const TARGET: &str = "wharfinger_registry::traces";

/// How long the collector may take for a batch.
const EXPORT: Duration = Duration::from_secs(10);
/// How long the last batch may take when the process ends.
const LAST: Duration = Duration::from_secs(5);

/// Sends traces as long as it lives. It must be dropped outside of asynchronous code, since it waits for the last ones.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts to send traces. To be called outside of asynchronous code.
    ///
    /// # Errors
    /// Where the settings cannot be used. A collector that cannot be reached is told in the log, again and again.
    pub fn start(settings: &registry_config::Traces) -> anyhow::Result<Self> {
        let endpoint = settings.address().map_err(anyhow::Error::msg)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT)
            .build()
            .context("cannot set up traces")?;
        let resource = Resource::builder()
            .with_service_name(env!("CARGO_PKG_NAME"))
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ))
            .build();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.ratio())));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    /// What takes the spans in.
    pub(crate) fn layer<S: Subscriber + for<'s> LookupSpan<'s>>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Lets a request's span continue the trace that `traceparent` names (W3C Trace Context). Only a trusted proxy may say that: it decides
/// with it whether the request is traced.
pub(crate) fn continue_from(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    // A span that was started already has its parent; this one was not.
    let _ = span.set_parent(parent);
}

/// Gives a span its name, which for a request is known only when its route is.
pub(crate) fn name(span: &Span, name: &'static str) {
    if !span.is_disabled() {
        span.context().span().update_name(name);
    }
}

struct Headers<'r>(&'r HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
