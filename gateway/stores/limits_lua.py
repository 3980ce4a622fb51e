"""The Lua of limits that several gateways share: by the server's own clock, caller and team in one call.

Keys come in pairs for each subject: a hash (`at` in microseconds, the buckets `requests` and `tokens`, `day` and
`month` with what was spent in them in nano-dollars) and a sorted set of open leases by their end in microseconds.
Names are keys alone and never part of a script.
"""

from gateway.stores.redis import Script

DATES = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local today = math.floor(time[1] / 86400)
local function month_of(day)
  local shifted = day + 719468
  local era = math.floor(shifted / 146097)
  local of_era = shifted - era * 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
    - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  return (era * 400 + year) * 12 + math.floor((5 * of_year + 2) / 153) + 2
end
local function whole(number) return string.format('%.0f', number) end
local function drained(used, limit, at)
  if limit < 0 then return 0 end
  local seconds = math.max(0, now - (tonumber(at) or now)) / 1000000
  return math.max(0, math.min(tonumber(used) or 0, 2 * limit) - seconds * limit / 60)
end
"""

# Takes id, tokens, nano-dollars, requests, microseconds of a lease; of each subject rpm, tpm, concurrency, nano-dollars
# a day and a month (-1: none), and what the gateway last knew, for a server that was emptied: day, spent, month, spent.
# Returns subject and limit that have no room (0: there was), the time, and the levels before.
ACQUIRE = Script(
    DATES
    + """
local id, tokens, nano = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local requests, lease = tonumber(ARGV[4]), tonumber(ARGV[5])
local all, new = {}, {}
for i = 1, #KEYS / 2 do
  all[i] = redis.call('HMGET', KEYS[2 * i - 1], 'at', 'requests', 'tokens', 'day', 'by_day', 'month', 'by_month')
  if tonumber(all[i][4]) == today + 1 then today = today + 1 end -- the clock was set back: that day has begun
end
local month = month_of(today)
local reply = {0, 0, whole(now), today, month}
for i = 1, #KEYS / 2 do
  local kept, open, limit = all[i], KEYS[2 * i], {}
  for j = 1, 9 do limit[j] = tonumber(ARGV[5 + (i - 1) * 9 + j]) end
  local used = {drained(kept[2], limit[1], kept[1]), drained(kept[3], limit[2], kept[1]), redis.call('ZCARD', open)}
  if used[3] > 0 and limit[3] >= 0 and used[3] + requests > limit[3] then
    redis.call('ZREMRANGEBYSCORE', open, '-inf', whole(now - 3600000000))
    used[3] = redis.call('ZCOUNT', open, '(' .. whole(now), '+inf')
  end
  used[4] = tonumber(kept[4]) == today and tonumber(kept[5]) or (limit[6] == today and limit[7] or 0)
  used[5] = tonumber(kept[6]) == month and tonumber(kept[7]) or (limit[8] == month and limit[9] or 0)
  local needs = {requests, tokens, requests, nano, nano}
  for _, kind in ipairs({3, 1, 2, 4, 5}) do
    if reply[1] == 0 and limit[kind] >= 0 and needs[kind] > 0 and used[kind] + needs[kind] > limit[kind] then
      reply[1], reply[2] = i, kind
    end
  end
  reply[#reply + 1] = {string.format('%.17g', used[1]), string.format('%.17g', used[2]), used[3],
    whole(used[4]), whole(used[5])}
  new[i] = {limit[1] < 0 and 0 or used[1] + requests, limit[2] < 0 and 0 or used[2] + tokens, used[4], used[5]}
end
if reply[1] > 0 then return reply end
for i = 1, #KEYS / 2 do
  local hash, open, used = KEYS[2 * i - 1], KEYS[2 * i], new[i]
  redis.call('HSET', hash, 'at', whole(now), 'requests', string.format('%.17g', used[1]),
    'tokens', string.format('%.17g', used[2]), 'day', today, 'by_day', whole(used[3] + nano),
    'month', month, 'by_month', whole(used[4] + nano))
  redis.call('EXPIRE', hash, 3024000)
  redis.call('ZADD', open, whole(now + lease), id)
  redis.call('EXPIRE', open, 7200)
end
return reply
"""
)

# Takes id, tokens and nano-dollars more than were reserved, day and month (-1: the current ones), rpm and tpm of each
# subject. With one more key, a mark, it counts money that was spent while the server was away. Returns what is spent.
SETTLE = Script(
    DATES
    + """
local id, tokens, nano = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local subjects, first = math.floor(#KEYS / 2), false
if #KEYS % 2 == 1 then
  first = redis.call('SET', KEYS[#KEYS], 1, 'NX', 'EX', 86400) and true
end
local function counted(kept, spent, date)
  kept, spent = tonumber(kept) or date, tonumber(spent) or 0
  if date < 0 or date == kept then return kept, math.max(0, spent + nano) end
  if date > kept then return date, math.max(0, nano) end
  return kept, spent
end
local reply = {}
for i = 1, subjects do
  local hash, open = KEYS[2 * i - 1], KEYS[2 * i]
  if redis.call('ZREM', open, id) == 1 or first then
    local kept = redis.call('HMGET', hash, 'at', 'requests', 'tokens', 'day', 'by_day', 'month', 'by_month')
    local tpm = tonumber(ARGV[5 + 2 * i])
    local used = tpm < 0 and 0 or math.max(0, drained(kept[3], tpm, kept[1]) + tokens)
    local day, by_day = counted(kept[4], kept[5], tonumber(ARGV[4]))
    local month, by_month = counted(kept[6], kept[7], tonumber(ARGV[5]))
    redis.call('HSET', hash, 'at', whole(now), 'requests',
      string.format('%.17g', drained(kept[2], tonumber(ARGV[4 + 2 * i]), kept[1])),
      'tokens', string.format('%.17g', used), 'day', day, 'by_day', whole(by_day),
      'month', month, 'by_month', whole(by_month))
    redis.call('EXPIRE', hash, 3024000)
    reply[i] = {day, whole(by_day), month, whole(by_month)}
  else
    reply[i] = {}
  end
end
return reply
"""
)

# Takes microseconds of a lease and ids: those that are still there are prolonged.
RENEW = Script(
    DATES
    + """
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', whole(now + ARGV[1]), ARGV[i]) end
redis.call('EXPIRE', KEYS[1], 7200)
return 1
"""
)

# Takes the id of a gateway and the microseconds for which it counts as alive; returns how many are.
BEAT = Script(
    DATES
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(now))
redis.call('ZADD', KEYS[1], whole(now + ARGV[2]), ARGV[1])
return redis.call('ZCARD', KEYS[1])
"""
)
