"""inspectd: line-side print inspection. A label is guilty until proven good."""
