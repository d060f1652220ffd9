// Two quantities of the boards: does the agent get to the best reward, and how directly?

if (SIDES.every((_, s) => panel(s, "reachability"))) {
  const of = (name) => (shown, x) =>
    at(panel(shown.s, "reachability")[name], ...shown.index, x);
  QUANTITIES.reach = {
    long: "probability to reach the best reward",
    diverging: false,
    of: of("reach"),
  };
  QUANTITIES.path = {
    long: "probability per step along a shortest path to it",
    diverging: false,
    of: of("path"),
  };
}
