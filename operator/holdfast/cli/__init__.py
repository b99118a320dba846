"""The command line: ``holdfast``, also installed as ``kubectl-holdfast``. It creates ModelApprovals and reads; nothing else."""
