"""What all gridworlds share: boards, mazes, rules and enumeration."""
