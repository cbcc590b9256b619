//! The Go template language of secret templates: compile at admission, render in the pod
