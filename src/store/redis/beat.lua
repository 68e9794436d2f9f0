-- beat: leases are renewed, each with its own result.
--
-- ARGV  8 length of the new lease, ms; 0: as long as it was taken for
--       9 worker who must hold it, or "-"
--      10 how many; then for each: id, fence (0: any)
--
-- Reply  ms, then for each "R STATE DIRECTIVE UNTIL": R as in work.lua, STATE a number (8: none),
--        DIRECTIVE 0, 1 quiet, 2 terminate; UNTIL the new end of the lease, ms.
--
-- The end of a lease is its score in P:active:QUEUE; the text of the job keeps the one that was
-- granted.

local function beat_one(text, id, fence, length, worker)
    local f = text and parse(text)
    if not f then
        return '1 8 0 0'
    end
    local r = f[1] ~= 'active' and 2
           or ((fence ~= '0' and fence ~= f[3]) or (worker ~= '-' and worker ~= f[5])) and 3 or 0
    local directive = f.q and ' 1 ' or f.k and ' 2 ' or ' 0 '
    if r ~= 0 then
        return r .. ' ' .. STATE_NUMBER[f[1]] .. directive .. '0'
    end
    local till = now + (length > 0 and length or tonumber(f[9]))
    if f.T and f[8] + f.T < till then
        till = f[8] + f.T
    end
    add(P .. 'active:' .. f[6], text_of(till), id)
    note_due('active', f[6], till)
    return '0 3' .. directive .. text_of(till)
end

-- @script beat: changes oom
local function beat(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    writes_begin()
    local length, worker, n, job_keys = tonumber(args[8]), args[9], tonumber(args[10]), {}
    for i = 1, n do
        job_keys[i] = P .. 'job:' .. args[9 + 2 * i]
    end
    local texts, out = texts_of(job_keys, n), { now }
    for i = 1, n do
        out[i + 1] = beat_one(texts[i], args[9 + 2 * i], args[10 + 2 * i], length, worker)
    end
    writes_end()
    return out
end
