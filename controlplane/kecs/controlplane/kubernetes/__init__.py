"""Tasks as pods: what a task becomes in a cluster, and what a cluster says of it."""
