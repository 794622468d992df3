//! Which role may call which RPC: one fixed table, and what is not in it cannot be called.

use crate::model::Role::{self, Administrator, Analyst, Auditor, Author, Gateway, Sensor};

/// RPC -> the roles that may call it. Health and reflection are open and not listed.
pub const TABLE: &[(&str, &[Role])] = &[
    ("/deodar.decision.v1.DecisionService/Check", &[Gateway]),
    ("/deodar.decision.v1.DecisionService/BatchCheck", &[Gateway]),
    ("/deodar.decision.v1.DecisionService/StreamCheck", &[Gateway]),
    ("/deodar.manage.v1.SignalService/RecordSignals", &[Sensor, Analyst, Administrator]),
    ("/deodar.manage.v1.SignalService/ListSignals", &[Analyst, Auditor, Administrator]),
    ("/deodar.manage.v1.SignalService/ClearSignal", &[Analyst, Administrator]),
    ("/deodar.manage.v1.RevocationService/CreateRevocation", &[Analyst, Administrator]),
    ("/deodar.manage.v1.RevocationService/GetRevocation", &[Analyst, Auditor, Administrator]),
    ("/deodar.manage.v1.RevocationService/ListRevocations", &[Analyst, Auditor, Administrator]),
    ("/deodar.manage.v1.RevocationService/DeleteRevocation", &[Analyst, Administrator]),
    ("/deodar.manage.v1.PrincipalService/GetPrincipal", &[Analyst, Auditor, Administrator]),
    ("/deodar.manage.v1.PrincipalService/ListPrincipals", &[Analyst, Auditor, Administrator]),
    ("/deodar.manage.v1.PrincipalService/PutPrincipal", &[Administrator]),
    ("/deodar.manage.v1.PrincipalService/DeletePrincipal", &[Administrator]),
    ("/deodar.manage.v1.RiskService/GetRisk", &[Analyst, Auditor, Administrator]),
    ("/deodar.manage.v1.ClientService/CreateClient", &[Administrator]),
    ("/deodar.manage.v1.ClientService/GetClient", &[Administrator]),
    ("/deodar.manage.v1.ClientService/ListClients", &[Administrator]),
    ("/deodar.manage.v1.ClientService/SetClientCertificates", &[Administrator]),
    ("/deodar.manage.v1.ClientService/RevokeClient", &[Administrator]),
    ("/deodar.manage.v1.DecisionRecordService/GetDecisionRecord", &[Analyst, Auditor, Administrator]),
    ("/deodar.manage.v1.DecisionRecordService/ListDecisionRecords", &[Analyst, Auditor, Administrator]),
    ("/deodar.manage.v1.DecisionRecordService/ListRefusals", &[Analyst, Auditor, Administrator]),
    ("/deodar.manage.v1.SystemService/GetStatus", &[Analyst, Auditor, Author, Administrator]),
];

/// The roles that may call an RPC; `None`: nobody may, because nobody thought about it.
pub fn roles_for(rpc: &str) -> Option<&'static [Role]> {
    TABLE.iter().find(|(name, _)| *name == rpc).map(|(_, roles)| *roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_for_nobody() {
        assert_eq!(roles_for("/deodar.manage.v1.ClientService/DeleteEverything"), None);
    }

    #[test]
    fn no_rpc_is_listed_twice() {
        for (index, (rpc, _)) in TABLE.iter().enumerate() {
            assert!(TABLE[index + 1..].iter().all(|(other, _)| other != rpc), "{rpc}");
        }
    }
}
