-- job: the text of a job, and what a script is going to write.
--
-- The first line of a job is sixteen fields, then the values of its flags (docs/internals/redis.md):
--
--   1 state  2 when  3 fence  4 flags  5 worker  6 queue  7 attempt  8 started  9 length  10 lost
--   11 delay  12 line  13 enqueued  14 created  15 attempts  16 priority  [T] [L] [X] [R]
--
-- A job that has never been leased begins with the same bytes as all others of its queue, and an
-- active one differs from its neighbour in nothing that a completion must read: the scripts compare
-- instead of parsing, and parse what does not compare equal.
--
-- Writes are gathered (`sets`, `adds`, `removes` and what line.lua has) and done at the end in as
-- few commands as there are keys.

local FIELDS = '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) '
            .. '(%S+) (%S+) (%S+)([^\n]*)()\n'
local IS_FINAL = { completed = true, cancelled = true, discarded = true }

local sets, n_sets -- key, text, key, text … for MSET
local adds         -- key of a sorted set -> { score, id, … }
local removes      -- key of a sorted set -> { id, … }
local lows         -- "STATE:QUEUE" -> earliest time that was filed

local function writes_begin()
    sets, n_sets, adds, removes, lows = {}, 0, {}, {}, {}
end

-- A job as a table: [1] to [16] as above; D W q k true; T L X R values; `at` where the rest begins.
-- Nil for what is no job.
local function parse(text)
    local f = { match(text, FIELDS) }
    local at = f[18]
    if not at or not STATE_NUMBER[f[1]] then
        return nil
    end
    local values = gmatch(f[17], '%S+')
    for letter in gmatch(f[4], '[^-]') do
        if letter == 'T' or letter == 'L' or letter == 'X' or letter == 'R' then
            f[letter] = values()
        else
            f[letter] = true
        end
    end
    f.at = at
    return f
end

-- And back: its first line, without the line feed.
local function first_line(f)
    local flags = (f.D and 'D' or '') .. (f.W and 'W' or '') .. (f.q and 'q' or '')
               .. (f.k and 'k' or '') .. (f.T and 'T' or '') .. (f.L and 'L' or '')
               .. (f.X and 'X' or '') .. (f.R and 'R' or '')
    f[4] = flags == '' and '-' or flags
    return concat(f, ' ', 1, 16) .. (f.T and ' ' .. f.T or '') .. (f.L and ' ' .. f.L or '')
        .. (f.X and ' ' .. f.X or '') .. (f.R and ' ' .. f.R or '')
end

local function type_of(text)
    local _, to, len = find(text, '\ntype (%d+) ')
    return to and sub(text, to + 1, to + len) or ''
end

local function encode(text)
    if text == '' then
        return '-'
    end
    text = string.gsub(text, '[%c %%*\127]', function(c) return format('%%%02X', byte(c)) end)
    return text == '-' and '%2D' or text
end

-- The set that a job of STATE is filed in; nil for available ones.
local function place(state, is_dead, queue)
    if state == 'available' then
        return nil
    end
    return P .. (is_dead and 'dead' or state) .. ':' .. queue
end

local function set(key, text)
    sets[n_sets + 1] = key
    sets[n_sets + 2] = text
    n_sets = n_sets + 2
end

local function add(key, score, id)
    local list = adds[key]
    if not list then
        list = {}
        adds[key] = list
    end
    list[#list + 1] = score
    list[#list + 1] = id
end

local function remove(key, id)
    local list = removes[key]
    if not list then
        list = {}
        removes[key] = list
    end
    list[#list + 1] = id
end

-- Something of QUEUE in STATE is due at TIME.
local function note_due(state, queue, time)
    local key = state .. ':' .. queue
    time = tonumber(time)
    if not lows[key] or time < lows[key] then
        lows[key] = time
    end
end

-- One line for those who listen. F is the job as it is afterwards.
local function event(from, f, id, text, attempt, duration)
    local to = f[1]
    events[#events + 1] = concat({ from, to, id, f[6], encode(type_of(text)), f[16], attempt, f[15],
        f.R or 'none', duration, (to == 'retryable' or from == 'new') and f[2] or '0' }, ' ')
end

-- Wake whoever keeps time when something is due before it looks next.
local function wake_ticker(time)
    local ticker = redis.call('HMGET', P .. 'ticker', 'holder', 'sleeps_until')
    if ticker[1] and time < (tonumber(ticker[2]) or 0) then
        redis.call('HSET', P .. 'ticker', 'sleeps_until', text_of(time))
        send('wake:' .. ticker[1], '*')
    end
end

-- Do the writes to jobs and sorted sets.
local function writes_end()
    if n_sets > 0 then
        for from = 1, n_sets, LIMIT_REDIS_ARGS do
            redis.call('MSET', unpack(sets, from,
                from + LIMIT_REDIS_ARGS - 1 < n_sets and from + LIMIT_REDIS_ARGS - 1 or n_sets))
        end
    end
    -- Added first: a small sorted set that is never empty stays what it is, and is not made anew.
    for key, list in pairs(adds) do
        if #list > 0 then
            in_pieces('ZADD', key, list, #list)
        end
    end
    for key, list in pairs(removes) do
        in_pieces('ZREM', key, list, #list)
    end
    local earliest
    for key, time in pairs(lows) do
        if redis.call('ZADD', P .. 'due', 'LT', 'CH', text_of(time), key) > 0
            and (not earliest or time < earliest) then
            earliest = time
        end
    end
    if earliest then
        wake_ticker(earliest)
    end
    writes_begin()
end
