"""Studies: many trainings to answer one question. A file says what varies, the rest is planned, run, counted and drawn."""
