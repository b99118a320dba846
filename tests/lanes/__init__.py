"""Every tier of `make test`, in lanes that run side by side: what waits for a cluster beside what keeps a processor busy."""
