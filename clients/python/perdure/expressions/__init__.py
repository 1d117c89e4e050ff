"""CEL expressions in strings: where they are, and how much work each may be. Whoever walks a run evaluates them."""
