//! What needs the Kubernetes API: certificates and caBundle
