"""Models, data and loops shared by the training tools."""
