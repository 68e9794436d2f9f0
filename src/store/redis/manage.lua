-- manage: queues, small values, workers, and what is forgotten.
--
-- Each function says its own arguments, from 8 on, and what follows the time in its reply.

-- queues   ARGV  8 the page begins behind this name   9 just this one, or empty   10 names at most
--          Reply  for each: name, "1" when paused, jobs ever pushed, counts of the eight states in
--          the order of STATES (dead letters are among the discarded), dead letters
-- @script queues: reads
local function queues(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    local names, out = {}, { now }
    if args[9] ~= '' then
        names = redis.call('HEXISTS', P .. 'queues', args[9]) == 1 and { args[9] } or {}
    else
        names = redis.call('ZRANGEBYLEX', P .. 'names', args[8] == '' and '-' or '(' .. args[8], '+',
                           'LIMIT', 0, args[10])
    end
    for _, queue in ipairs(names) do
        out[#out + 1] = queue
        out[#out + 1] = redis.call('SISMEMBER', P .. 'paused', queue)
        out[#out + 1] = redis.call('HGET', P .. 'queues', queue) or '0'
        local dead = redis.call('ZCARD', P .. 'dead:' .. queue)
        for i = 0, 7 do
            local n = STATES[i] == 'available' and line_count(queue)
                   or STATES[i] ~= 'available' and redis.call('ZCARD', P .. STATES[i] .. ':' .. queue)
            out[#out + 1] = STATES[i] == 'discarded' and n + dead or n
        end
        out[#out + 1] = dead
    end
    return out
end

-- queue_set   ARGV  8 queue   9 "1": paused   10 "1": it is made when there is none
--             Reply  "" done, "n" there is none, "b" there are too many
-- @script queue_set: writes oom
local function queue_set(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    local queue = args[8]
    if redis.call('HEXISTS', P .. 'queues', queue) == 0 then
        if args[10] ~= '1' then
            return { now, 'n' }
        end
        if not queue_make(queue) then
            return { now, 'b' }
        end
    end
    if args[9] == '1' then
        redis.call('SADD', P .. 'paused', queue)
    elseif redis.call('SREM', P .. 'paused', queue) == 1 then
        wake(queue, line_count(queue))
    end
    return { now, '' }
end

-- delete   ARGV  8 id   9 set of states it may be in   10 "1": only a dead letter
--          Reply  "" done, "n" there is none, "d" it is no dead letter, or the state it is in
-- @script delete: writes numbered oom
local function delete(keys, args)
    local refused, earlier = begin(keys, args)
    if refused then
        return refused
    end
    if earlier then
        return { now, earlier }
    end
    local id, mask = args[8], tonumber(args[9])
    local text = redis.call('GET', P .. 'job:' .. id)
    local f = text and parse(text)
    local outcome = ''
    if not f then
        outcome = 'n'
    elseif floor(mask / 2 ^ STATE_NUMBER[f[1]]) % 2 == 0 or not IS_FINAL[f[1]] then
        outcome = f[1]
    elseif args[10] == '1' and not (f[1] == 'discarded' and f.D) then
        outcome = 'd'
    else
        redis.call('ZREM', place(f[1], f.D, f[6]), id)
        redis.call('DEL', P .. 'job:' .. id)
    end
    remember(outcome)
    return { now, outcome }
end

-- sweep   ARGV  8 jobs at most   9 process   then for completed, cancelled, discarded: how long they
--         are kept (ms, 0: for ever), how many of each queue (0: all). Dead letters as discarded.
--         Reply  "m" when there is more, how many were forgotten
--
-- Queues are looked at in turn, LIMIT_REDIS_SWEEP_QUEUES in each call; P:ticker keeps which is next.
local function sweep_place(state, queue, keep_ms, keep_max, max)
    local key = P .. state .. ':' .. queue
    local excess = keep_max > 0 and redis.call('ZCARD', key) - keep_max or 0
    local n = keep_ms > 0 and redis.call('ZCOUNT', key, '-inf', '(' .. text_of(now - keep_ms)) or 0
    n = n > excess and n or excess
    n = n < max and n or max
    if n <= 0 then
        return 0
    end
    local ids, jobs = redis.call('ZRANGE', key, 0, n - 1), {}
    for i = 1, #ids do
        jobs[i] = P .. 'job:' .. ids[i]
    end
    redis.call('ZREMRANGEBYRANK', key, 0, n - 1)
    for from = 1, n, LIMIT_REDIS_ARGS do
        redis.call('UNLINK', unpack(jobs, from,
            from + LIMIT_REDIS_ARGS - 1 < n and from + LIMIT_REDIS_ARGS - 1 or n))
    end
    return n
end

-- @script sweep: writes oom
local function sweep(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    local max, n = tonumber(args[8]), 0
    if args[9] ~= '' then
        local ticker = redis.call('HMGET', P .. 'ticker', 'holder', 'until')
        if ticker[1] and ticker[1] ~= args[9] and tonumber(ticker[2]) > now then
            return { now, '', 0 }
        end
    end
    local rules = { { 'completed', 10 }, { 'cancelled', 12 }, { 'discarded', 14 }, { 'dead', 14 } }
    local from = redis.call('HGET', P .. 'ticker', 'sweep_at') or ''
    local limit = LIMIT_REDIS_SWEEP_QUEUES
    local names = redis.call('ZRANGEBYLEX', P .. 'names', from == '' and '-' or '[' .. from, '+',
                             'LIMIT', 0, limit + 1)
    if from ~= '' and #names <= limit then
        -- Around the corner, up to where this call began.
        for _, name in ipairs(redis.call('ZRANGEBYLEX', P .. 'names', '-', '(' .. from, 'LIMIT', 0,
                                         limit + 1 - #names)) do
            names[#names + 1] = name
        end
    end
    for i = 1, #names < limit and #names or limit do
        for _, rule in ipairs(rules) do
            if n >= max then
                redis.call('HSET', P .. 'ticker', 'sweep_at', names[i])
                return { now, 'm', n }
            end
            n = n + sweep_place(rule[1], names[i], tonumber(args[rule[2]]),
                                tonumber(args[rule[2] + 1]), max - n)
        end
    end
    redis.call('HSET', P .. 'ticker', 'sweep_at', names[limit + 1] or '')
    return { now, '', n }
end

-- meta   ARGV  8 name   9 "1": write   10 value
--        Reply  the value, or nothing when there is none
-- @script meta: writes oom
local function meta(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    if args[9] == '1' then
        redis.call('SET', P .. 'meta:' .. args[8], args[10])
        return { now, '' }
    end
    return { now, redis.call('GET', P .. 'meta:' .. args[8]) }
end

-- Names of workers whose cards have ended are taken out, some thousand at a time.
local function workers_forget()
    local names = redis.call('ZRANGE', P .. 'workers', 0, LIMIT_WORKERS - 1)
    for i = 1, #names do
        if redis.call('EXISTS', P .. 'worker:' .. names[i]) == 0 then
            redis.call('ZREM', P .. 'workers', names[i])
        end
    end
end

-- worker   ARGV  8 name   9 card, or empty to remove it   10 for how long, ms
--          Reply  "" done, "b" there are too many
-- @script worker: changes oom
local function worker(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    local name = args[8]
    if args[9] == '' then
        redis.call('DEL', P .. 'worker:' .. name)
        redis.call('ZREM', P .. 'workers', name)
        return { now, '' }
    end
    if redis.call('ZCARD', P .. 'workers') >= LIMIT_WORKERS
        and not redis.call('ZSCORE', P .. 'workers', name) then
        workers_forget()
        if redis.call('ZCARD', P .. 'workers') >= LIMIT_WORKERS then
            return { now, 'b' }
        end
    end
    redis.call('SET', P .. 'worker:' .. name, args[9], 'PX', args[10])
    redis.call('ZADD', P .. 'workers', 0, name)
    return { now, '' }
end

-- workers   ARGV  8 the page begins behind this name   9 cards at most
--           Reply  "m" when there is more; then for each name, card
-- @script workers: changes oom
local function workers(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    local after, max, out = args[8], tonumber(args[9]), { now, '' }
    for _ = 1, LIMIT_WORKERS do
        local names = redis.call('ZRANGEBYLEX', P .. 'workers', after == '' and '-' or '(' .. after,
                                 '+', 'LIMIT', 0, 100)
        if #names == 0 then
            return out
        end
        for i = 1, #names do
            local card = redis.call('GET', P .. 'worker:' .. names[i])
            after = names[i]
            if card and #out == 2 + 2 * max then
                out[2] = 'm'
                return out
            elseif card then
                out[#out + 1] = after
                out[#out + 1] = card
            else
                redis.call('ZREM', P .. 'workers', after)
            end
        end
    end
    return out
end
