"""`inspectd engines pull`: fetch the bundles that are assigned to this line, and put them on it."""
