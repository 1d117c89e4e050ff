"""From a document to a plan: `document` reads it, `model` says what it may hold, `checks` what must hold between its
parts, `compilation` makes the plan, and `review` does all of it and gathers the diagnostics."""
