-- One request rate for all processes of a group: GCRA (a token bucket) on the server's clock, in
-- reserve mode: a grant is a place in time, the caller waits until then and sends.
--
-- KEYS  1 tat: end of the reserved time, µs of the server's clock
--       2 pace: the slowest "emission burst" of the group, which holds for all
--       3 hold: until when nobody may send, µs of the server's clock
-- ARGV  1 op  2 emission: µs per request  3 burst  4 cost: requests  5 per op; whole numbers
--
-- op        ARGV 5             effect
-- take      longest wait, µs   reserves if the wait is not longer than that, and than one hour
-- penalize  delay, µs          nobody sends before now + delay (at most one hour)
-- peek      longest wait, µs   as take, but writes nothing
-- release   tat of the grant   gives the last reservation back; refused once another one followed
--                              (it would let two go at the same moment); emission as answered
-- beat      0                  keeps the pace alive, reserves nothing; fails where take would
--
-- Answer: granted (0 or 1), wait µs, requests left in the burst, tat, now, emission in force, µs
-- until the end of the hold. A hold that is set later stops reservations made before: whoever has
-- one asks again now and then.

local HOUR = 3600000000
local PACE_MS = 10000

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function number(text, lowest)
  if not text or #text > 16 or not text:find('^%d+$') then return nil end
  local value = tonumber(text)
  if value < lowest or value > 9007199254740991 then return nil end
  return value
end
local function int(value) return string.format('%.0f', value) end

local op = ARGV[1]
local emission, burst = number(ARGV[2], 1), number(ARGV[3], 1)
local cost, limit = number(ARGV[4], 1), number(ARGV[5], 0)
if not (emission and burst and cost and limit) then
  return redis.error_reply('ERR bad argument of the limit script')
end

local pace
if op ~= 'release' then
  local slowest = redis.call('GET', KEYS[2]) or ''
  local slow, low = slowest:match('^(%d+) (%d+)$')
  slow, low = number(slow, 1), number(low, 1)
  -- Whoever sets the pace keeps it alive; the others follow until it is gone.
  if slow and low and slow > emission then
    emission, burst = slow, math.min(burst, low)
  else
    if slow == emission and low then burst = math.min(burst, low) end
    pace = int(emission) .. ' ' .. int(burst)
  end
end

local tolerance = emission * burst
local stored = redis.call('GET', KEYS[1])
local tat = number(stored, 0) or now
if tat < now then tat = now end
-- No reservation reaches that far: the clock went back, or somebody else wrote.
if tat > now + tolerance + HOUR then tat = now + tolerance end

local hold = number(redis.call('GET', KEYS[3]), 0) or 0
if hold > now + HOUR then hold = 0 end
-- A hold takes the burst along: after it everybody goes one by one.
local function behind_hold() return math.max(tat, hold > now and hold + tolerance - emission or 0) end
tat = behind_hold()

local function put(value)
  redis.call('SET', KEYS[1], int(value), 'PX', int(math.ceil((value - now) / 1000) + 1000))
  if pace then redis.call('SET', KEYS[2], pace, 'PX', PACE_MS) end
end

local function answer(granted, wait, reached)
  local left = math.max(0, math.floor((now + tolerance - reached) / emission))
  return {granted, wait, left, reached, now, emission, math.max(0, hold - now)}
end

if op == 'penalize' then
  limit = math.min(limit, HOUR)
  if now + limit > hold then
    hold = now + limit
    redis.call('SET', KEYS[3], int(hold), 'PX', int(math.ceil(limit / 1000) + 1000))
    tat = behind_hold()
  end
  return answer(1, limit, tat)
elseif op == 'beat' then
  put(tat)
  return answer(1, 0, tat)
elseif op == 'release' then
  if stored ~= ARGV[5] then return answer(0, 0, tat) end
  tat = math.max(now, limit - emission * cost)
  put(tat)
  return answer(1, 0, tat)
elseif op == 'take' or op == 'peek' then
  local reached = tat + emission * cost
  local wait = math.max(0, reached - tolerance - now)
  if wait > math.min(limit, HOUR) then return answer(0, wait, tat) end
  if op == 'take' then put(reached) end
  return answer(1, wait, op == 'take' and reached or tat)
end
return redis.error_reply('ERR the limit script knows no operation ' .. tostring(op))
