"""The tables of the state file, version by version: a file of an older version goes through the steps that it lacks."""

APPLICATION = 0x4C474157  # in the file's head: it is ours

CALLERS = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE callers (name TEXT PRIMARY KEY, version INTEGER NOT NULL, terms TEXT NOT NULL) WITHOUT ROWID;
"""

# A row is an attempt: `n` is its place in its request, -1 what was reserved for one that was never settled, and 1000
# the request's copy. `spend` has the sums of a day (since 1970, UTC). It is kept up by the rows that come, so one that
# is there already adds nothing, and rows that go take nothing away.
LEDGER = """
CREATE TABLE attempts (
    seq INTEGER PRIMARY KEY,
    request TEXT NOT NULL,
    n INTEGER NOT NULL,
    at REAL NOT NULL,
    day INTEGER NOT NULL,
    caller TEXT NOT NULL,
    team TEXT NOT NULL,
    route TEXT NOT NULL,
    model TEXT NOT NULL,
    backend TEXT NOT NULL,
    outcome TEXT NOT NULL,
    error_type TEXT NOT NULL,
    prompt INTEGER,
    completion INTEGER,
    cached INTEGER,
    estimated INTEGER NOT NULL,
    price_input REAL,
    price_output REAL,
    price_cached REAL,
    price_source TEXT NOT NULL,
    usd REAL,
    own_usd REAL NOT NULL,
    seconds REAL NOT NULL,
    UNIQUE (request, n)
);
CREATE TABLE spend (
    day INTEGER NOT NULL,
    caller TEXT NOT NULL,
    team TEXT NOT NULL,
    route TEXT NOT NULL,
    model TEXT NOT NULL,
    backend TEXT NOT NULL,
    requests INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    prompt INTEGER NOT NULL,
    completion INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    usd REAL NOT NULL,
    own_usd REAL NOT NULL,
    estimated_usd REAL NOT NULL,
    unpriced INTEGER NOT NULL,
    PRIMARY KEY (day, caller, team, route, model, backend)
) WITHOUT ROWID;
CREATE TRIGGER summed AFTER INSERT ON attempts BEGIN
    INSERT INTO spend VALUES (
        new.day, new.caller, new.team, new.route, new.model, new.backend,
        new.n = 0, 1, ifnull(new.prompt, 0), ifnull(new.completion, 0), ifnull(new.cached, 0),
        ifnull(new.usd, 0), new.own_usd, iif(new.estimated, ifnull(new.usd, 0), 0), new.usd IS NULL
    )
    ON CONFLICT DO UPDATE SET
        requests = requests + excluded.requests,
        attempts = attempts + excluded.attempts,
        prompt = prompt + excluded.prompt,
        completion = completion + excluded.completion,
        cached = cached + excluded.cached,
        usd = usd + excluded.usd,
        own_usd = own_usd + excluded.own_usd,
        estimated_usd = estimated_usd + excluded.estimated_usd,
        unpriced = unpriced + excluded.unpriced;
END;
CREATE TABLE reservations (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    at REAL NOT NULL,
    caller TEXT NOT NULL,
    team TEXT NOT NULL,
    route TEXT NOT NULL,
    usd REAL NOT NULL
) WITHOUT ROWID;
"""

REQUESTS = """
CREATE TABLE requests (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    at REAL NOT NULL,
    caller TEXT NOT NULL,
    route TEXT NOT NULL,
    model TEXT NOT NULL,
    backend TEXT NOT NULL,
    outcome TEXT NOT NULL
);
CREATE TABLE records (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE shadows (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE deployments (number INTEGER PRIMARY KEY, facts TEXT NOT NULL);
"""

STEPS = (CALLERS, LEDGER, REQUESTS)  # the version of a file is how many of them it has gone through
