"""From playbooks that were written for other systems to manifests, and what of them cannot be carried over."""
