"""Twenty lines on this machine, which get their engines from one repository, and send parts and metrics to one place."""
