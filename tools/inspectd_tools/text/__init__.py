"""The reader of `inspectd.text`: rendered lines, training, calibration and trials."""
