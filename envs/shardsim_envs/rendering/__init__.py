"""Pictures of states: sprites, frames and films."""
