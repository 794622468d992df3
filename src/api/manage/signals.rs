//! `SignalService`.

use tonic::{Request, Response, Status};

use super::{Door, caller, from_duration, from_timestamp, parse, parse_optional, timestamp};
use crate::api::pb::manage as pb;
use crate::api::pb::manage::signal::Life;
use crate::api::pb::manage::signal_service_server::SignalService;
use crate::api::wire;
use crate::manage::{ManageError, ReportedSignal, into_parts, page_request};
use crate::model::{Signal, SignalFilter, SignalLife};

#[tonic::async_trait]
impl SignalService for Door {
    async fn record_signals(
        &self,
        request: Request<pb::RecordSignalsRequest>,
    ) -> Result<Response<pb::RecordSignalsResponse>, Status> {
        let by = caller(&request)?;
        let signals = request.into_inner().signals.into_iter().map(reported);
        let signals = signals.collect::<Result<Vec<_>, _>>()?;
        let (recorded, revision) = self.management.record_signals(signals, &by).await?;
        let signals = recorded.into_iter().map(signal).collect();
        Ok(Response::new(pb::RecordSignalsResponse { signals, revision: revision.to_string() }))
    }

    async fn list_signals(
        &self,
        request: Request<pb::ListSignalsRequest>,
    ) -> Result<Response<pb::ListSignalsResponse>, Status> {
        let request = request.into_inner();
        let page = page_request(request.page_size, &request.page_token)?;
        let filter = SignalFilter {
            subject: parse_optional("subject", &request.subject)?,
            kind: (!request.kind.is_empty()).then_some(request.kind),
            include_cleared: request.include_cleared,
        };
        let listed = self.management.list_signals(&filter, &page).await?;
        let (signals, next_page_token) = into_parts(listed);
        let signals = signals.into_iter().map(signal).collect();
        Ok(Response::new(pb::ListSignalsResponse { signals, next_page_token }))
    }

    async fn clear_signal(
        &self,
        request: Request<pb::ClearSignalRequest>,
    ) -> Result<Response<pb::ClearSignalResponse>, Status> {
        let by = caller(&request)?;
        let request = request.into_inner();
        let id = parse("signal_id", &request.signal_id)?;
        let cleared = self.management.clear_signal(id, request.reason, &by).await;
        let (cleared, revision) = cleared?;
        let signal = Some(signal(cleared));
        Ok(Response::new(pb::ClearSignalResponse { signal, revision: revision.to_string() }))
    }
}

fn reported(signal: pb::Signal) -> Result<ReportedSignal, ManageError> {
    let given = [&signal.signal_id, &signal.recorded_by, &signal.cleared_by, &signal.clear_reason];
    let timed = signal.record_time.is_some() || signal.clear_time.is_some();
    if timed || given.into_iter().any(|field| !field.is_empty()) {
        let why = "signal_id and who recorded or cleared a signal are given by the server; leave them empty";
        return Err(ManageError::invalid("signals", why));
    }
    Ok(ReportedSignal {
        subject: parse("signals.subject", &signal.subject)?,
        kind: signal.kind,
        strength: signal.strength,
        confidence: signal.confidence,
        life: signal.life.map(life).transpose()?,
        source: signal.source,
        evidence: signal.evidence,
        dedup_key: (!signal.dedup_key.is_empty()).then_some(signal.dedup_key),
        observed_at: signal.observe_time.map(|at| from_timestamp("signals.observe_time", at)).transpose()?,
    })
}

fn life(life: Life) -> Result<SignalLife, ManageError> {
    match life {
        Life::HalfLife(span) => Ok(SignalLife::HalfLife(from_duration("signals.half_life", span)?)),
        Life::UntilCleared(true) => Ok(SignalLife::UntilCleared),
        Life::UntilCleared(false) => {
            Err(ManageError::invalid("signals.until_cleared", "is false; leave it out or give a half_life"))
        }
    }
}

fn signal(signal: Signal) -> pb::Signal {
    let cleared = signal.cleared;
    pb::Signal {
        signal_id: signal.id.to_string(),
        subject: signal.subject.to_string(),
        kind: signal.kind,
        strength: Some(signal.strength),
        confidence: Some(signal.confidence),
        life: Some(match signal.life {
            SignalLife::HalfLife(span) => Life::HalfLife(wire::duration(span)),
            SignalLife::UntilCleared => Life::UntilCleared(true),
        }),
        source: signal.source,
        evidence: signal.evidence,
        dedup_key: signal.dedup_key.unwrap_or_default(),
        observe_time: Some(timestamp(signal.observed_at)),
        recorded_by: signal.recorded_by.to_string(),
        record_time: Some(timestamp(signal.recorded_at)),
        cleared_by: cleared.as_ref().map(|cleared| cleared.by.to_string()).unwrap_or_default(),
        clear_time: cleared.as_ref().map(|cleared| timestamp(cleared.at)),
        clear_reason: cleared.map(|cleared| cleared.why).unwrap_or_default(),
    }
}
