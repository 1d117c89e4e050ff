"""The programs: one module per deployable, wiring only. Nothing imports this package."""
