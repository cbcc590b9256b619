//! Suites across crates, fixtures, fakes, faults, real servers
