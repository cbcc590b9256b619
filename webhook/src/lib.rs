//! The mutating admission webhook: review in, outcome out
