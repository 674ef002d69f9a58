//! The templates. Those for Kubernetes are the chart's, so that what is printed is what the chart and `k8s/base` hold.

pub(super) const K8S: &[&str] = &[
    include_str!("../../../k8s/chart/templates/account.yaml"),
    include_str!("../../../k8s/chart/templates/scenario.yaml"),
    include_str!("../../../k8s/chart/templates/enrolment.yaml"),
    include_str!("../../../k8s/chart/templates/coordinator.yaml"),
    include_str!("../../../k8s/chart/templates/nodes.yaml"),
    include_str!("../../../k8s/chart/templates/network-policies.yaml"),
];
pub(super) const COMPOSE: &[&str] = &[include_str!("templates/compose.yaml")];
pub(super) const SLURM: &[&str] = &[include_str!("templates/slurm.sh")];
pub(super) const SYSTEMD: &[&str] = &[include_str!("templates/systemd.txt")];
/// Of one node, for as many as there are.
pub(super) const COMPOSE_NODE: &str = include_str!("templates/compose-node.yaml");
