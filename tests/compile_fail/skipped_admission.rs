//! An applicant whose identity the operator's rules have not admitted.

use mayfly::{
    identity::Identity,
    proof::{self, Applicant, KeyProof, ProofError},
};

pub fn unadmitted(identity: Identity, proof: KeyProof) -> Result<Applicant, ProofError> {
    proof::prove(identity, proof)
}
