//! The nouns of Vouchsafe, pure: secrets, names, workloads, plans, wire envelopes, records
