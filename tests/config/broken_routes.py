"""Broken policies: routes, defaults, successors and callers."""

from tests.config.broken import HEAD, LARGE, ROUTE, Broken, hosted, routes

CORPUS = [
    Broken("unknown key of a match", routes("    match: {modle: [a]}\n"), "LG010", 11, "`modle`", "'model'"),
    Broken("hedge", f"{HEAD}defaults:\n  hedge: {{after: p95}}\n", "LG011", 9, "`hedge`"),
    Broken(
        "budget", f"{HEAD}defaults:\n  retry: {{attempts: 3, budget: 5}}\n", "LG015", 9, "wants a share from 0% to 100%"
    ),
    Broken("semantic cache", f"{HEAD}defaults:\n  cache: {{ttl: 1h, mode: semantic}}\n", "LG011", 9, "`semantic`"),
    Broken("text for a list", routes().replace("[llama-3.3-70b-instruct]", "llama"), "LG012", 10, "a list", "[llama]"),
    Broken("yes for true", routes("    match: {stream: yes}\n"), "LG012", 11, "true or false", "write true or false"),
    Broken("word of none", routes("    optimize: speed\n"), "LG014", 11, "cost, latency, size"),
    Broken("near word", routes("    optimize: latencey\n"), "LG014", 11, "latency", "'latency'"),
    Broken("zero weights", routes("    optimize: {cost: 0, latency: 0}\n"), "LG014", 11, "above zero"),
    Broken("negative weight", routes("    optimize: {cost: -1}\n"), "LG014", 11, "greater"),
    Broken(
        "near location", routes("    require: {location: selfhosted}\n"), "LG014", 11, "self_hosted", "'self_hosted'"
    ),
    Broken("bad name", routes().replace("large", "'a b'"), "LG014", 9, "a name"),
    Broken("many attempts", f"{HEAD}defaults: {{retry: {{attempts: 99}}}}\n", "LG014", 8, "10"),
    Broken("clock time", f"{HEAD}defaults: {{timeouts: {{idle: 12:30}}}}\n", "LG015", 8, "duration", "clock"),
    Broken("no unit", f"{HEAD}defaults: {{timeouts: {{idle: 20}}}}\n", "LG015", 8, "duration", "unit: 20s"),
    Broken(
        "unknown successor",
        f"{HEAD}models: {{llama-3.3-70b-instruct: {{successor: llama-4-scot}}}}\n",
        "LG047",
        8,
        "`llama-4-scot`",
        "'llama-4-scout-17b-16e-instruct'",
    ),
    Broken(
        "own successor",
        f"{HEAD}models: {{llama-3.3-70b-instruct: {{successor: llama-3.3-70b-instruct}}}}\n",
        "LG048",
        8,
        "llama-3.3-70b-instruct -> llama-3.3-70b-instruct",
    ),
    Broken(
        "successors in a circle",
        f"{HEAD}models:\n  a: {{successor: b}}\n  b: {{successor: c}}\n  c: {{successor: b}}\n",
        "LG048",
        10,
        "b -> c -> b",
    ),
    Broken("no expression", routes('    match: {when: "request.stream &&"}\n'), "LG064", 11, "it is no CEL"),
    Broken("no truth", routes('    match: {when: "size(request.tools)"}\n'), "LG064", 11, "no true or false"),
    Broken("no zone", routes("    match: {time: {zone: Mars}}\n"), "LG014", 11, "time zone database"),
    Broken("a norwegian", routes("    match: {stream: no}\n"), "LG012", 11, "true or false", "write true or false"),
    Broken("a float for a count", f"{HEAD}defaults: {{retry: {{attempts: 1e0}}}}\n", "LG012", 8, "a whole number"),
    Broken("clock time for a burst", routes("    burst: {when: {ttft: 0:02}}\n"), "LG015", 11, "duration", "clock"),
    Broken("a merge of nothing", f"{HEAD}defaults: {{<<: 3}}\n", "LG012", 8, "`<<`"),
    Broken("size of no word", routes("    size: smalest\n"), "LG014", 11, "smallest", "'smallest'"),
    Broken("size without bounds", routes("    size: {}\n"), "LG014", 11, "smallest_adequate"),
    Broken("two orders", routes("    size: {smallest: {}, largest: {}}\n"), "LG014", 11, "one of"),
    Broken("size without unit", routes("    size: {at_least: 70}\n"), "LG015", 11, "at_least", "70b"),
    Broken("size of a size", routes("    size: 70b\n"), "LG014", 11, "{at_least: 8b}"),
    Broken(
        "sizes the wrong way", routes("    size: {at_least: 70b, at_most: 8b}\n"), "LG058", 11, "at_least and at_most"
    ),
    Broken("too large", routes("    size: {at_most: 8b}\n"), "LG056", 11, "has 70b, the route wants at most 8b"),
    Broken("too small", routes("    size: {largest: {at_least: 100b}}\n"), "LG056", 11, "wants at least 100b"),
    Broken(
        "too small and too far",
        routes("    size: {at_least: 100b}\n    require: {regions: [eu]}\n"),
        "LG056",
        12,
        "`require` and `size` of the route 'large' exclude",
    ),
    Broken("flaw of no name", routes("    escalate: [boring]\n"), "LG014", 11, "invalid_json"),
    Broken("nobody to escalate to", routes("    escalate: true\n"), "LG074", 11, "no larger model"),
    Broken("split of one", routes("    split: [{weight: 95}]\n"), "LG070", 11, "none of its parts has `models`"),
    Broken("split of nothing", routes("    split: []\n"), "LG014", 11, "at least 1 item"),
    Broken("weights of nothing", routes(f"    split: [{{weight: 0, models: [{LARGE}]}}]\n"), "LG070", 11, "is 0"),
    Broken("negative share", routes(f"    split: [{{weight: -5, models: [{LARGE}]}}]\n"), "LG014", 11, "greater"),
    Broken(
        "canary without weight", routes(f"    split: [{{weight: 1}}, {{models: [{LARGE}]}}]\n"), "LG013", 11, "weight"
    ),
    Broken(
        "canary of no weight",
        routes(f"    split: [{{weight: 1}}, {{weight: 0, models: [{LARGE}], name: canary}}]\n"),
        "LG072",
        11,
        "'canary' of the `split` of the route 'large' gets no requests",
    ),
    Broken(
        "canary of no model",
        routes("    split: [{weight: 95}, {weight: 5, models: [llama-3.3-70b]}]\n"),
        "LG050",
        11,
        "`llama-3.3-70b`",
        "'llama-3.3-70b-instruct'",
    ),
    Broken(
        "canary that nobody serves",
        routes("    split: [{weight: 95}, {weight: 5, models: [llama-3.1-8b-instruct]}]\n"),
        "LG051",
        11,
        "No backend serves llama-3.1-8b-instruct",
    ),
    Broken(
        "two canaries of one name",
        routes(f"    split: [{{weight: 9, models: [{LARGE}]}}, {{weight: 1, models: [{LARGE}]}}]\n"),
        "LG071",
        11,
        "Give each a `name`",
    ),
    Broken(
        "canary that must not be",
        hosted("    require: {location: self_hosted}\n    split: [{weight: 9}, {weight: 1, models: [MODEL]}]\n"),
        "LG076",
        16,
        "A part of the split of the route 'large' adds nobody: out/llama-3.1-405b-instruct is hosted",
    ),
    Broken("sticky to nothing", routes("    sticky: session\n"), "LG014", 11, "request, caller, conversation"),
    Broken("fallback of no cause", routes("    fallback: {slow: [a]}\n"), "LG010", 11, "context, refused, overloaded"),
    Broken("fallback of no model", routes("    fallback: {refused: [lama]}\n"), "LG050", 11, "`lama`"),
    Broken(
        "default fallback of no model", f"{HEAD}defaults: {{fallback: {{context: [lama]}}}}\n", "LG050", 8, "`lama`"
    ),
    Broken(
        "fallback that must not be",
        hosted("    require: {location: self_hosted}\n    fallback: {context: [MODEL]}\n"),
        "LG076",
        16,
        "`fallback.context` of the route 'large' adds nobody",
    ),
    Broken(
        "shadow that must not be",
        hosted("    require: {location: self_hosted}\n    shadow: {models: [MODEL], share: 1%}\n"),
        "LG076",
        16,
        "`shadow.models` of the route 'large' adds nobody",
    ),
    Broken("shadow of no share", routes(f"    shadow: {{models: [{LARGE}]}}\n"), "LG013", 11, "`share`"),
    Broken("shadow of percents", routes(f"    shadow: {{models: [{LARGE}], share: 5}}\n"), "LG015", 11, "share", "5%"),
    Broken("shadow of too much", routes(f"    shadow: {{models: [{LARGE}], share: 101%}}\n"), "LG015", 11, "from 0%"),
    Broken(
        "shadow of nothing", routes(f"    shadow: {{models: [{LARGE}], share: 0}}\n"), "LG014", 11, "greater than 0"
    ),
    Broken(
        "burst without end", routes("    burst: {when: {ttft: 2s}, back_below: 3s}\n"), "LG073", 11, "would end above"
    ),
    Broken("burst to nobody", routes("    burst: {when: {ttft: 2s}}\n"), "LG073", 11, "no hosted deployment"),
    Broken(
        "burst of nobody",
        hosted("    require: {location: hosted}\n    burst: {when: {ttft: 2s}}\n", own="MODEL"),
        "LG073",
        16,
        "no self_hosted deployment",
    ),
    Broken(
        "burst of those who come first",
        hosted("    prefer: hosted\n    burst: {when: {ttft: 2s}}\n", own="llama-3.3-70b-instruct, MODEL"),
        "LG073",
        16,
        "Remove one of them",
    ),
    Broken("burst by nothing", routes("    burst: {back_below: 1s}\n"), "LG013", 11, "`when`"),
    Broken("no patience", f"{HEAD}defaults: {{on_no_candidate: wait}}\n", "LG014", 8, "fail or {wait: 5s}"),
    Broken("patience of a clock", f"{HEAD}defaults: {{on_no_candidate: {{wait: 0:05}}}}\n", "LG015", 8, "duration"),
    Broken("patience that is YAML's", f"{HEAD}defaults:\n  on_no_candidate: wait: 5s\n", "LG001", 9, "not YAML"),
    Broken("mid stream", routes("    mid_stream: retry\n"), "LG014", 11, "error, buffer, splice, continue"),
    Broken("data collection", routes("    require: {data_collection: allow}\n"), "LG014", 11, "deny"),
    Broken(
        "who collects",
        hosted("    require: {data_collection: deny}\n", own="MODEL"),
        "LG056",
        15,
        "may keep what it is sent, the route requires data_collection: deny",
    ),
    Broken(
        "successor without steps",
        f"{HEAD}models: {{a: {{successor: {{model: b, every: 1h}}}}}}\n",
        "LG014",
        8,
        "`steps`",
    ),
    Broken(
        "steps that descend",
        f"{HEAD}models: {{a: {{successor: {{model: b, steps: [5%, 1%]}}}}}}\n",
        "LG014",
        8,
        "steps` that ascend",
    ),
    Broken(
        "step of nothing",
        f"{HEAD}models: {{a: {{successor: {{model: b, steps: [0%]}}}}}}\n",
        "LG014",
        8,
        "greater than 0",
    ),
    Broken(
        "successor that nobody serves",
        f"{HEAD}models: {{{LARGE}: {{successor: llama-3.1-8b-instruct}}}}\n",
        "LG078",
        8,
        "No backend serves llama-3.1-8b-instruct",
    ),
    Broken(
        "successor that must not be",
        hosted("    require: {location: self_hosted}\n", more=f"models: {{{LARGE}: {{successor: MODEL}}}}\n"),
        "LG076",
        14,
        "The successor llama-3.1-405b-instruct of llama-3.3-70b-instruct on the route 'large' adds nobody",
    ),
    Broken(
        "hole",
        hosted("    match: {model: [auto]}\n", own="MODEL")
        + f"  - name: secret\n    match: {{caller: [hr]}}\n    models: [{LARGE}]\n"
        "    require: {location: self_hosted}\n",
        "LG075",
        16,
        "Requests meant for 'secret' may leave: 'large' takes requests for auto first, and out/llama-3.1-405b-instruct",
    ),
    Broken(
        "blind match",
        routes("    match: {capabilities: [vision]}\n"),
        "LG077",
        11,
        "needs vision, and none of its deployments can do that",
    ),
    Broken("long match", routes("    match: {input_tokens: {min: 200000}}\n"), "LG077", 11, "holds more than 131072"),
    Broken(
        "route of nobody",
        f"{routes()}callers:\n  a: {{key: {'k' * 20}, routes: [default]}}\n",
        "LG054",
        9,
        "no caller may use it",
    ),
    Broken(
        "backend of nobody",
        f"{hosted('')}callers:\n  a: {{key: {'k' * 20}, routes: [large]}}\n",
        "LG035",
        8,
        "The backend 'out' is never used",
    ),
    Broken(
        "route's model",
        routes().replace("[llama-3.3-70b-instruct]", "[llama-3.3-70b-instruct, llama-3.3-70b]"),
        "LG050",
        10,
        "`llama-3.3-70b`",
        "'llama-3.3-70b-instruct'",
    ),
    Broken(
        "nobody's model", routes().replace("[llama", "[llama-3.1-8b-instruct, llama"), "LG051", 10, "No backend serves"
    ),
    Broken(
        "no deployment", routes().replace("[llama-3.3-70b-instruct]", "[llama-3.1-8b-instruct]"), "LG052", 10, "'large'"
    ),
    Broken(
        "same name", routes(ROUTE.replace("    models", "    match: {stream: true}\n    models")), "LG053", 11, "line 9"
    ),
    Broken("name of the implicit", routes().replace("large", "default"), "LG053", 9, "implicit"),
    Broken("unreachable", routes(ROUTE.replace("large", "other")), "LG054", 11, "'large'"),
    Broken("prefer", routes("    prefer: [gpu, laptop]\n"), "LG055", 11, "`laptop`"),
    Broken("prefer, near", routes("    prefer: self-hosted\n"), "LG055", 11, "`self-hosted`", "'self_hosted'"),
    Broken("too strict", routes("    require: {location: hosted}\n"), "LG056", 11, "excludes every deployment"),
    Broken("too exact", routes("    require: {min_precision: bf16}\n"), "LG056", 11, "precision fp8"),
    Broken("too far", routes("    require: {regions: [eu]}\n"), "LG056", 11, "no known region"),
    Broken("too able", routes("    require: {capabilities: [vision]}\n"), "LG056", 11, "vision"),
    Broken(
        "other licence",
        routes("    require: {licence: apache-2.0}\n"),
        "LG056",
        11,
        "is under llama3.3, the route requires apache-2.0",
    ),
    Broken("unknown licence", routes("    require: {licence: [llama3.3, mti]}\n"), "LG059", 11, "`mti`", "'mit'"),
    Broken(
        "nothing for the EU",
        f"{HEAD.replace('3.3-70b-instruct', '4-scout-17b-16e-instruct')}org: {{region: eu}}\nroutes:\n"
        f"{ROUTE.replace('3.3-70b-instruct', '4-scout-17b-16e-instruct')}",
        "LG056",
        11,
        "`org` excludes every deployment",
    ),
    Broken("range", routes("    match: {input_tokens: {min: 9, max: 1}}\n"), "LG058", 11, "above its end"),
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
]
