"""Redirect rules and trust bundle inside a pod. Standard library only."""
