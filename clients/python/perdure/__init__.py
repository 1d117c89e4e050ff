"""Perdure's client: `perdure.client` calls the control plane, `perdure.runlog` says what a run's log means,
`perdure.cli` is the command line, and `perdure.v1` holds the generated messages."""
