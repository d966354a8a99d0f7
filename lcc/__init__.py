"""Lifecycle scripts for SageMaker, and what builds the archive that they install from."""
