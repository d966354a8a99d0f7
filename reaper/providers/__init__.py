"""What is watched and acted on: one folder for each family of resources."""
