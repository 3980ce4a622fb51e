"""Broken policies: callers and teams."""

from tests.config.broken import HEAD, Broken, routes


def caller(text: str, more: str = "") -> str:
    """HEAD with one route, and a caller whose terms are in line 12; more follows from line 13 on."""
    return f"{routes()}callers:\n  a: {{key: {'k' * 20}, {text}}}\n{more}"


CORPUS = [
    Broken("short key", f"{HEAD}callers:\n  a: {{key: hunter2}}\n", "LG060", 9, "less than 16"),
    Broken(
        "route of a caller",
        f"{routes()}callers:\n  a: {{key: {'k' * 20}, routes: [larg]}}\n",
        "LG061",
        12,
        "`larg`",
        "'large'",
    ),
    Broken(
        "one key for two", f"{HEAD}callers:\n  a: {{key: {'k' * 20}}}\n  b: {{key: {'k' * 20}}}\n", "LG062", 10, "'a'"
    ),
    Broken("no requests a minute", caller("limits: {rpm: 0}"), "LG014", 12, "greater than or equal to 1"),
    Broken("negative tokens", caller("limits: {tpm: -5}"), "LG014", 12, "greater than or equal to 1"),
    Broken("half a request", caller("limits: {rpm: 0.5}"), "LG012", 12, "a whole number"),
    Broken("huge limit", caller("limits: {concurrency: 99999999999}"), "LG014", 12, "less than or equal to 1000000000"),
    Broken("no money", caller("limits: {usd_per_day: 0}"), "LG014", 12, "greater than 0"),
    Broken("negative money", caller("limits: {usd_per_month: -1.5}"), "LG014", 12, "greater than"),
    Broken("huge budget", caller("limits: {usd_per_day: 1e12}"), "LG014", 12, "less than or equal to 1000000000"),
    Broken("endless budget", caller("limits: {usd_per_day: .inf}"), "LG012", 12, "a number"),
    Broken("misspelt limit", caller("limits: {rpn: 1}"), "LG010", 12, "`rpn`", "'rpm'"),
    Broken("limits in a word", caller("limits: none"), "LG012", 12, "a mapping"),
    Broken("day above month", caller("limits: {usd_per_day: 9, usd_per_month: 5}"), "LG069", 12, "never binds"),
    Broken("unknown team", caller("team: serach", "teams:\n  search: {}\n"), "LG066", 12, "`serach`", "'search'"),
    Broken("no teams", caller("team: search"), "LG066", 12, "`search`"),
    Broken("odd team", caller("team: 'a b'"), "LG014", 12, "a name of letters"),
    Broken("team with a parent", caller("team: t", "teams:\n  t: {team: t}\n"), "LG010", 14, "`team`"),
    Broken(
        "team without money", caller("team: t", "teams:\n  t: {limits: {usd_per_day: 0}}\n"), "LG014", 14, "greater"
    ),
    Broken(
        "above its team",
        caller("team: t, limits: {rpm: 9}", "teams:\n  t: {limits: {rpm: 5}}\n"),
        "LG069",
        12,
        "above its team's 5",
    ),
    Broken(
        "team day above month",
        f"{HEAD}teams:\n  t: {{limits: {{usd_per_day: 9, usd_per_month: 5}}}}\n",
        "LG069",
        9,
        "t",
    ),
    Broken(
        "unknown model of a caller", caller("models: [llama-3.3-70b-instrct]"), "LG067", 12, "`llama-3.3-70b-instrct`"
    ),
    Broken("expired", caller("expires: 2020-01-01"), "LG068", 12, "has expired"),
    Broken("expired at a time", caller("expires: '2020-01-01T12:00:00+02:00'"), "LG068", 12, "has expired"),
    Broken("no date", caller("expires: soon"), "LG014", 12, "a date such as 2027-03-30"),
    Broken("no such day", caller("expires: 2027-02-30"), "LG014", 12, "a date such as"),
    Broken("unknown class", caller("class: urgent"), "LG014", 12, "critical, default, sheddable, batch"),
    Broken("misspelt class", caller("clas: batch"), "LG010", 12, "`clas`", "'class'"),
    Broken("open on failure", caller("on_store_failure: open"), "LG014", 12, "closed, local"),
    Broken("long metadata", caller(f"metadata: {{a: {'x' * 300}}}"), "LG014", 12, "at most 256 characters"),
    Broken("metadata of numbers", caller("metadata: {a: 5}"), "LG012", 12, "text"),
]
