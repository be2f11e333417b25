"""Speed, memory and quality of autoenc beside its peers: ``python -m benchmarks --list``."""
