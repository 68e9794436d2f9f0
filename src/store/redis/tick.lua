-- tick: who keeps time, and what time does: promote and expired.
--
-- One process at a time keeps time for a partition: P:ticker has its name, a fence that grows with
-- each new holder, until when it holds (LIMIT_REDIS_TICKER_MS, renewed by each of its calls) and
-- until when it sleeps. Any process that finds the place free or over takes it.
--
-- P:due has for each STATE:QUEUE a time before which nothing of it is due: whoever files something
-- lowers it, and only the ticker raises it, to what it finds.
--
-- ARGV  8 jobs at most
--       9 process; empty: whoever asks does it
--
-- Reply  ms, outcome, when to look again (ms; -1 never), how many, then expired: for each id, text,
--        end of the lease. Outcome: "" done, "m" there is more, "t" another process keeps time and
--        holds the place until then.

-- Nil, or until when another process keeps time.
local function ticker_take(process)
    if process == '' then
        return nil
    end
    local ticker = redis.call('HMGET', P .. 'ticker', 'holder', 'until', 'fence')
    if ticker[1] ~= process then
        if ticker[1] and tonumber(ticker[2]) > now then
            return ticker[2]
        end
        redis.call('HSET', P .. 'ticker', 'holder', process, 'fence',
                   text_of((tonumber(ticker[3]) or 0) + 1))
    end
    redis.call('HSET', P .. 'ticker', 'until', text_of(now + LIMIT_REDIS_TICKER_MS))
    return nil
end

-- When to look again: when something is due, or to renew the place.
local function ticker_next(process)
    local first = redis.call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')
    local next_time = first[2] and tonumber(first[2])
    if process ~= '' then
        local renew = now + LIMIT_REDIS_TICKER_MS / 2
        if not next_time or renew < next_time then
            next_time = renew
        end
        redis.call('HSET', P .. 'ticker', 'sleeps_until', text_of(next_time))
    end
    return next_time and text_of(next_time) or '-1'
end

-- Raise the bound of STATE:QUEUE to what is true. Whether something of it is still due.
local function due_raise(member, key)
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if first[2] then
        redis.call('ZADD', P .. 'due', first[2], member)
        return tonumber(first[2]) <= now
    end
    redis.call('ZREM', P .. 'due', member)
    return false
end

local function promote_some(state, queue, max)
    local key = P .. state .. ':' .. queue
    local ids, keys = redis.call('ZRANGEBYSCORE', key, '-inf', now_text, 'LIMIT', 0, max), {}
    for i = 1, #ids do
        keys[i] = P .. 'job:' .. ids[i]
        remove(key, ids[i])
    end
    local texts = texts_of(keys, #keys)
    for i = 1, #ids do
        local f = texts[i] and parse(texts[i])
        if f and f[1] == state then
            f[1], f[2], f[13], f.R = 'available', '0', now_text, nil
            f[12] = line_up(queue, f[16], ids[i])
            set(keys[i], first_line(f) .. sub(texts[i], f.at))
            if events then
                event(state, f, ids[i], texts[i], f[7], '0')
            end
        end
    end
    return #ids
end

local function due_members()
    return redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', now_text, 'LIMIT', 0, 3 * LIMIT_QUEUES)
end

-- @script promote: writes oom
local function promote(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    local max, process = tonumber(args[8]), args[9]
    local till = ticker_take(process)
    if till then
        return { now, 't', till, 0 }
    end
    local n, outcome = 0, ''
    writes_begin()
    lines_begin()
    local members = due_members()
    for _, state in ipairs({ 'scheduled', 'retryable' }) do
        for _, member in ipairs(members) do
            local queue = match(member, '^' .. state .. ':(.*)$')
            if queue and n == max then
                outcome = 'm'
            elseif queue then
                n = n + promote_some(state, queue, max - n)
                writes_end()
                lines_end()
                if due_raise(member, P .. member) then
                    outcome = 'm'
                end
            end
        end
    end
    finish()
    return { now, outcome, ticker_next(process), n }
end

-- What is no active job, because somebody has edited it, is not looked for here any more.
-- @script expired: changes oom
local function expired(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    local max, process = tonumber(args[8]), args[9]
    local till = ticker_take(process)
    if till then
        return { now, 't', till, 0 }
    end
    local out, n, bytes, outcome = { now, '', '', 0 }, 0, 0, ''
    for _, member in ipairs(due_members()) do
        local queue = match(member, '^active:(.*)$')
        if queue and n == max then
            outcome = 'm'
            break
        end
        if queue then
            local found = redis.call('ZRANGEBYSCORE', P .. member, '-inf', now_text, 'WITHSCORES',
                                     'LIMIT', 0, max - n)
            for i = 1, #found, 2 do
                local text = redis.call('GET', P .. 'job:' .. found[i])
                if bytes > LIMIT_LIST_BYTES then
                    max = n
                    outcome = 'm'
                    break
                end
                local f = text and parse(text)
                if f and f[1] == 'active' then
                    n = n + 1
                    bytes = bytes + #text
                    out[#out + 1] = found[i]
                    out[#out + 1] = text
                    out[#out + 1] = found[i + 1]
                else
                    redis.call('ZREM', P .. member, found[i])
                end
            end
            due_raise(member, P .. member)
        end
    end
    out[2], out[3], out[4] = outcome, ticker_next(process), n
    return out
end
