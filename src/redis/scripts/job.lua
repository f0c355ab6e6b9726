-- Every operation on a job's state in Redis. Runs as one step on the server: checks first, then
-- writes, so that a refused operation leaves everything as it was. Readers need no script; the
-- keys and fields are described in docs/redis.md.
--
-- KEYS  1 stream  2 state  3 meta  4 progress  5 error  6 ctl  7 chunks  8 inflight  9 cerr
-- ARGV  1 op  2 epoch  3 token  4.. as below; numbers are decimal; times in ms
--
-- op        ARGV 4..                                         answers beside the common ones
-- probe     [index key, workers key]                         OK state, NOPERM command, WRONGTYPE key
-- create    owner lease fingerprint maxlen ttl retention     OK, RESUMED, DUP, COMPLETED, FAILED,
--           max_attempts group mode takeover meta pairs…     FPMISMATCH, LOCKED, RELEASED, PARTIAL
--           mode: auto, retry-failed, restart
-- reset     as create; starts anew whatever is stored        OK, DUP, LOCKED, RELEASED
-- restore   owner … group (as create) attempt state seq      OK, DUP, TERMINAL, RELEASED, FENCED
--           total meta pairs… [created_ms]                   the last server lost the job or is older
-- sync      highest seq seen                                 OK, TERMINAL, RELEASED
-- reap      [lease]   any job, by anybody; only that lease   REQUEUED, FAILED, ALIVE ms, IDLE, TERMINAL
-- cancel    [note]    any job, by anybody                    OK state, DUP, TERMINAL
-- move      state reason pairs…                              OK, DUP, ILLEGAL state [failed]
--           pairs: of the error with FAILED, source with PROCESSING
-- begin     index attempt                                    OK, DUP, ALREADY
-- retry     index attempt delay http_status reason           OK, DUP, ALREADY
-- done      index record                                     OK, DUP, ALREADY
-- fail      index record                                     OK, DUP, ALREADY
-- skip      index record reason                              OK, DUP, ALREADY
-- put       index record index record … (at most 200 pairs)  OK added; the quiet form for healing
-- progress  total event                                      OK, DUP
--           event: 0 for none, else a number that grows with each one of this owner
-- beat      lease                                            OK
--
-- From move on, sync and restore included, operations are fenced: epoch and token must be the
-- job's. Sending any of them again after its answer was lost does no harm.
--
-- answer      followed by
-- OK          sync: seq cancel state done failed skipped · restore: seq cancel done failed skipped
--             put: seq cancel added · other fenced operations: seq cancel
-- OK, RESUMED, DUP of create and reset: epoch attempt done failed skipped seq previous-state
-- DUP         seq cancel: it is in effect already
-- ALREADY     seq cancel status: the chunk is settled, as done, failed or skipped; what is done
--             stays, the others may be settled otherwise by done, fail, skip and put, and are
--             opened again by begin and retry when they were settled by an earlier owner
-- TERMINAL    state seq done failed skipped: the job has ended
-- RELEASED    state: this token gave the job back; all it sent before is in effect
-- FENCED      epoch owner: somebody else has the job now
-- STALE       epoch: this server knows an older epoch only → restore
-- PARTIAL     key: a part of the job is lost (evicted, deleted by hand) → restore
-- NOJOB       → restore
-- COMPLETED   epoch done failed skipped total: to be replayed
-- FAILED      failed code message: of create, has failed chunks; of reap, lost chunks
-- FPMISMATCH  stored fingerprint
-- LOCKED      owner, ms left, end of the lease
-- BADARG      what: a bug of the caller
--
-- A record is the JSON of job/chunk_record.h; `"status":"…"` and `"frames":n` are read from it.

if #KEYS ~= 9 then return redis.error_reply('ERR the job script takes nine keys') end
local STREAM, STATE, META, PROGRESS, ERROR, CTL, CHUNKS, INFLIGHT, CERR = unpack(KEYS)
-- Braces would put the keys into different slots of a cluster.
if STREAM:find('[{}]') or STATE ~= '{' .. STREAM .. '}:state' then
  return redis.error_reply('ERR the keys do not belong to one job')
end
local op, epoch, token = ARGV[1], ARGV[2], ARGV[3]
local call = redis.call

if op == 'probe' then
  local needed = {
    {'TIME'}, {'TYPE', STREAM}, {'GET', STATE}, {'SET', STATE, 'x'}, {'HGET', META, 'a'},
    {'HMGET', CTL, 'a'}, {'HSET', CTL, 'a', 'b'}, {'HSETNX', CHUNKS, 'a', 'b'},
    {'HLEN', CHUNKS}, {'HSCAN', CHUNKS, '0'}, {'HDEL', INFLIGHT, 'a'},
    {'UNLINK', INFLIGHT}, {'PEXPIRE', STREAM, '1'}, {'XADD', STREAM, '*', 'a', 'b'},
    {'XREVRANGE', STREAM, '+', '-'}, {'XGROUP', 'CREATE', STREAM, 'a', '0', 'MKSTREAM'}}
  for _, key in ipairs(KEYS) do
    needed[#needed + 1] = {'PEXPIRE', key, '1'}
  end
  if ARGV[4] then
    needed[#needed + 1] = {'ZADD', ARGV[4], '1', 'a'}
    needed[#needed + 1] = {'ZREM', ARGV[4], 'a'}
    needed[#needed + 1] = {'ZRANGEBYSCORE', ARGV[4], '0', '1'}
  end
  if ARGV[5] then
    needed[#needed + 1] = {'ZADD', ARGV[5], '1', 'a'}
    needed[#needed + 1] = {'ZCOUNT', ARGV[5], '0', '1'}
  end
  if redis.acl_check_cmd then  -- since Redis 7
    for _, command in ipairs(needed) do
      if not redis.acl_check_cmd(unpack(command)) then return {'NOPERM', command[1]} end
    end
  end
  for i, key in ipairs(KEYS) do
    local kind = call('TYPE', key).ok
    if kind ~= 'none' and kind ~= (i == 1 and 'stream' or i == 2 and 'string' or 'hash') then
      return {'WRONGTYPE', key}
    end
  end
  return {'OK', call('GET', STATE) or ''}
end

-- What is stored. Reads every key, so that one of a wrong type ends the script here.

local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function int(value) return string.format('%.0f', value) end

-- Canonical, so that one chunk has one name, and exact as a double.
local function number(text, lowest)
  if not text or #text > 15 or not (text == '0' or text:find('^[1-9]%d*$')) then return nil end
  local value = tonumber(text)
  if value < (lowest or 0) then return nil end
  return value
end

for key, wanted in pairs({[STREAM] = 'stream', [META] = 'hash', [ERROR] = 'hash'}) do
  local kind = call('TYPE', key).ok
  if kind ~= 'none' and kind ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. kind)
  end
end

local LEGAL = {
  QUEUED = {QUEUED = true, PROCESSING = true, FAILED = true},
  PROCESSING = {QUEUED = true, COMPLETED = true, FAILED = true},
  COMPLETED = {},
  FAILED = {}}

local state = call('GET', STATE)
local NUMBERS = {'epoch', 'lease', 'attempt', 'barren', 'base', 'seq', 'maxlen', 'ttl',
                 'retention', 'max_attempts', 'frames', 'told'}
local TEXTS = {'token', 'owner', 'released', 'cancel'}
local ctl, damage = {}, nil
do
  local values = call('HMGET', CTL, unpack(NUMBERS))
  for i, name in ipairs(NUMBERS) do
    ctl[name] = number(values[i])
    if not ctl[name] then damage = 'ctl' end
  end
  values = call('HMGET', CTL, unpack(TEXTS))
  for i, name in ipairs(TEXTS) do ctl[name] = values[i] or '' end
end
local exists = state or ctl.epoch

local stored, failed, inflight = call('HLEN', CHUNKS), call('HLEN', CERR), call('HLEN', INFLIGHT)
local counted = call('HMGET', PROGRESS, 'total', 'done', 'failed', 'skipped')
local total, skipped = number(counted[1]) or 0, number(counted[4]) or 0

-- The counts were written together with what they count: a difference is a loss.
if not exists then
  damage = nil
elseif not damage then
  if not LEGAL[state or ''] then
    damage = 'state'
  elseif call('TYPE', META).ok == 'none' then
    damage = 'meta'
  elseif call('TYPE', STREAM).ok == 'none' then
    damage = 'stream'
  elseif not (number(counted[1]) and number(counted[2]) and number(counted[4])) then
    damage = 'progress'
  elseif number(counted[2]) + skipped ~= stored then
    damage = 'chunks'
  elseif number(counted[3]) ~= failed then
    damage = 'cerr'
  end
end
local terminal = state == 'COMPLETED' or state == 'FAILED'

-- Answers.

local function bad(what) return {'BADARG', what} end
local function tallies() return int(stored - skipped), int(failed), int(skipped) end
local function answer(word, ...) return {word, int(ctl.seq), ctl.cancel, ...} end
local function ended() return {'TERMINAL', state, int(ctl.seq), tallies()} end
local function owned(word, previous)
  local done, lost, silent = tallies()
  return {word, int(ctl.epoch), int(ctl.attempt), done, lost, silent, int(ctl.seq), previous or ''}
end

-- Writing.

local function save(...) call('HSET', CTL, ...) end

local function emit(event, ...)
  ctl.seq = ctl.seq + 1
  save('seq', int(ctl.seq))
  call('XADD', STREAM, 'MAXLEN', '~', int(ctl.maxlen), '*', 'seq', int(ctl.seq), 'event', event,
       'epoch', int(ctl.epoch), 'ts', int(now), ...)
end

local function counters()
  return 'done', int(stored - skipped), 'failed', int(failed), 'skipped', int(skipped), 'total',
         int(total)
end

local function count()
  stored, failed, inflight = call('HLEN', CHUNKS), call('HLEN', CERR), call('HLEN', INFLIGHT)
  total = math.max(total, stored + failed + inflight)
  call('HSET', PROGRESS, 'total', int(total), 'done', int(stored - skipped), 'failed', int(failed),
       'skipped', int(skipped), 'inflight', int(inflight), 'audio_ms',
       int(math.floor(ctl.frames / 16)), 'updated_ms', int(now))
end

-- The last write of every operation: no key may outlive its job, whenever it was born.
local function touch()
  local over = state == 'COMPLETED' or state == 'FAILED'
  local time = int(over and ctl.retention or ctl.ttl)
  for _, key in ipairs(KEYS) do call('PEXPIRE', key, time) end
end

local function change(to, reason, ...)
  local previous = state or ''
  state = to
  call('SET', STATE, to)
  call('HSET', META, 'state', to, 'reason', reason, 'since_ms', int(now))
  local extra = {...}
  for _, value in ipairs({counters()}) do extra[#extra + 1] = value end
  emit('state', 'state', to, 'prev', previous, 'reason', reason, unpack(extra))
end

local function explain(code, message)
  call('UNLINK', ERROR)
  call('HSET', ERROR, 'code', code, 'message', message, 'retryable', '0', 'at_ms', int(now))
end

-- Only after keys were lost: reads every record.
local function recount()
  local cursor = '0'
  skipped, ctl.frames = 0, 0
  repeat
    local page = call('HSCAN', CHUNKS, cursor, 'COUNT', 500)
    cursor = page[1]
    for i = 2, #page[2], 2 do
      local record = page[2][i]
      if record:match('"status":"(%l+)"') == 'skipped' then
        skipped = skipped + 1
      else
        ctl.frames = ctl.frames + (number(record:match('"frames":(%d+)')) or 0)
      end
    end
  until cursor == '0'
end

-- What a stream that outlived its job says: subscribers must see neither number twice.
local function last_event()
  local entry = call('XREVRANGE', STREAM, '+', '-', 'COUNT', 1)[1]
  local seq, last_epoch = 0, 0
  if entry then
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'seq' then seq = number(entry[2][i + 1]) or 0 end
      if entry[2][i] == 'epoch' then last_epoch = number(entry[2][i + 1]) or 0 end
    end
  end
  return seq, last_epoch
end

-- As the first write it may fail like any other: then nothing was written.
local function make_group(group)
  if group == '' then return nil end
  local made = redis.pcall('XGROUP', 'CREATE', STREAM, group, '0', 'MKSTREAM')
  if made.err and not made.err:find('BUSYGROUP', 1, true) then return made end
end

-- Arguments.

local RESERVED = {schema = true, fp = true, state = true, reason = true, since_ms = true,
                  created_ms = true, restored_ms = true}
local ERROR_FIELDS = {code = true, message = true, http_status = true, chunk = true,
                      retryable = true}
local MAX_SOURCE = 4096  -- bytes

local function pairs_ok(from, limit, allowed)
  if #ARGV - from + 1 > limit * 2 or (#ARGV - from + 1) % 2 ~= 0 then return false end
  for i = from, #ARGV, 2 do
    if ARGV[i] == '' or not allowed(ARGV[i]) then return false end
  end
  return true
end

local function settings()
  if token == '' then return nil, 'token' end
  local s = {owner = ARGV[4], lease = number(ARGV[5], 1), fp = ARGV[6],
             maxlen = number(ARGV[7], 1), ttl = number(ARGV[8], 1),
             retention = number(ARGV[9], 1), max_attempts = number(ARGV[10], 1), group = ARGV[11]}
  if not s.owner or s.owner == '' then return nil, 'owner' end
  for _, name in ipairs({'lease', 'fp', 'maxlen', 'ttl', 'retention', 'max_attempts', 'group'}) do
    if not s[name] then return nil, name end
  end
  return s
end

-- The job belongs to this token from now on.
local function own(s)
  ctl.maxlen, ctl.ttl, ctl.retention = s.maxlen, s.ttl, s.retention
  ctl.token, ctl.owner, ctl.base = token, s.owner, stored
  save('epoch', int(ctl.epoch), 'token', token, 'owner', s.owner, 'lease', int(now + s.lease),
       'attempt', int(ctl.attempt), 'barren', int(ctl.barren), 'base', int(stored), 'seq',
       int(ctl.seq), 'maxlen', int(s.maxlen), 'ttl', int(s.ttl), 'retention', int(s.retention),
       'max_attempts', int(s.max_attempts), 'cancel', ctl.cancel, 'released', '', 'told', '0',
       'frames', int(ctl.frames))
end

-- Attempts that stored something do not count towards the maximum.
local function judge_attempt(died)
  if stored > ctl.base then
    ctl.barren = 0
  elseif died then
    ctl.barren = ctl.barren + 1
  end
end

local ops = {}

local function start_over(s, reason)
  local problem = make_group(s.group)
  if problem then return problem end
  local seq, last_epoch = last_event()
  ctl.seq = math.max(seq, ctl.seq or 0)
  ctl.epoch = math.max(last_epoch, ctl.epoch or 0) + 1
  ctl.attempt, ctl.barren, ctl.frames, ctl.cancel = 1, 0, 0, ''
  stored, skipped, total = 0, 0, 0
  local previous = state
  own(s)
  call('UNLINK', META, PROGRESS, ERROR, CHUNKS, INFLIGHT, CERR)
  call('HSET', META, 'schema', '1', 'fp', s.fp, 'created_ms', int(now), unpack(ARGV, 14))
  count()
  change('QUEUED', reason)
  touch()
  return owned('OK', previous)
end

local function take_over(s, mode)
  local problem = make_group(s.group)
  if problem then return problem end
  if damage then
    recount()
    ctl.seq = math.max(last_event(), ctl.seq)
  end
  if terminal then
    ctl.barren = 0
  else
    judge_attempt(ctl.token ~= '')
  end
  local previous, lost = state, inflight
  local reason = mode == 'retry-failed' and mode or 'resumed'
  ctl.epoch, ctl.attempt, ctl.cancel = ctl.epoch + 1, ctl.attempt + 1, ''
  own(s)
  call('UNLINK', INFLIGHT, ERROR)
  if mode == 'retry-failed' then call('UNLINK', CERR) end
  count()
  if state ~= 'QUEUED' then
    change('QUEUED', reason, 'lost', int(lost))
  else
    emit('resumed', 'reason', reason, 'lost', int(lost), counters())
  end
  touch()
  return owned('RESUMED', previous)
end

function ops.create()
  local s, problem = settings()
  if not s then return bad(problem) end
  local mode, takeover = ARGV[12], ARGV[13]
  if op == 'reset' then mode = 'restart' end
  if mode ~= 'auto' and mode ~= 'retry-failed' and mode ~= 'restart' then return bad('mode') end
  if not takeover then return bad('takeover') end
  if not pairs_ok(14, 64, function(name) return not RESERVED[name] end) then return bad('meta') end

  if not exists then
    if mode ~= 'restart' and stored + failed > 0 then return {'PARTIAL', 'state'} end
    return start_over(s, 'created')
  end
  if ctl.token == token and damage ~= 'ctl' then return owned('DUP', state) end
  if ctl.token == '' and ctl.released == token then return {'RELEASED', state or ''} end
  local fp = call('HGET', META, 'fp')
  if mode ~= 'restart' and fp and fp ~= s.fp then return {'FPMISMATCH', fp} end
  if ctl.token ~= '' and not terminal and (ctl.lease or 0) > now and ctl.owner ~= takeover then
    return {'LOCKED', ctl.owner, int(ctl.lease - now), int(ctl.lease)}
  end
  if mode == 'restart' then return start_over(s, 'restart') end
  if damage == 'ctl' or damage == 'state' or damage == 'meta' or not fp then
    return {'PARTIAL', damage or 'meta'}
  end
  if state == 'COMPLETED' then
    if damage and damage ~= 'stream' then return {'PARTIAL', damage} end
    local done, broken, silent = tallies()
    return {'COMPLETED', int(ctl.epoch), done, broken, silent, int(total)}
  end
  if state == 'FAILED' and failed > 0 and mode ~= 'retry-failed' then
    local why = call('HMGET', ERROR, 'code', 'message')
    return {'FAILED', int(failed), why[1] or '', why[2] or ''}
  end
  return take_over(s, mode)
end
ops.reset = ops.create

function ops.restore()
  local s, problem = settings()
  if not s then return bad(problem) end
  local mine, attempt, to = number(epoch, 1), number(ARGV[12], 1), ARGV[13]
  local seq, cut = number(ARGV[14]), number(ARGV[15])
  if not mine then return bad('epoch') end
  if not attempt then return bad('attempt') end
  if to ~= 'QUEUED' and to ~= 'PROCESSING' then return bad('state') end
  if not seq then return bad('seq') end
  if not cut then return bad('total') end
  if not pairs_ok(16, 64, function(name) return name == 'created_ms' or not RESERVED[name] end) then
    return bad('meta')
  end
  for i = 16, #ARGV, 2 do
    if ARGV[i] == 'created_ms' and not number(ARGV[i + 1], 1) then return bad('created_ms') end
  end

  local same = ctl.epoch == mine and ctl.token == token
  if ctl.epoch and not same then
    if ctl.epoch == mine and ctl.token == '' and ctl.released == token then
      return {'RELEASED', state or ''}
    end
    if ctl.epoch >= mine then return {'FENCED', int(ctl.epoch), ctl.owner} end
  end
  if same and not damage then
    if terminal then return ended() end
    return answer('DUP', tallies())
  end
  problem = make_group(s.group)
  if problem then return problem end

  local known = call('HMGET', META, 'fp', 'created_ms', 'restored_ms')
  local keep = known[1] == s.fp or (same and not known[1])
  local previous = state or ''
  ctl.seq = math.max(seq, ctl.seq or 0, (last_event()))
  ctl.epoch, ctl.attempt, ctl.barren = mine, attempt, same and ctl.barren or 0
  ctl.frames = ctl.frames or 0
  if not same then ctl.cancel = '' end
  own(s)
  if not keep then call('UNLINK', CHUNKS, CERR) end
  call('UNLINK', INFLIGHT, ERROR)
  recount()
  save('frames', int(ctl.frames))
  total = math.max(cut, keep and total or 0)
  count()
  -- Equal to restored_ms: nobody knows. The pairs may have the true one.
  local created = known[2] ~= known[3] and known[2] or int(now)
  call('HSET', META, 'schema', '1', 'fp', s.fp, 'created_ms', created, 'state', to, 'reason',
       'restored', 'since_ms', int(now), 'restored_ms', int(now), unpack(ARGV, 16))
  state = to
  call('SET', STATE, to)
  emit('restored', 'state', to, 'prev', previous, counters())
  touch()
  return answer('OK', tallies())
end

function ops.reap()
  local seen = number(ARGV[4])
  if ARGV[4] and not seen then return bad('lease') end
  if not exists then return {'NOJOB'} end
  if damage then return {'PARTIAL', damage} end
  if terminal then return ended() end
  if ctl.token == '' then return {'IDLE'} end
  if ctl.lease > now or (seen and ctl.lease ~= seen) then
    return {'ALIVE', int(math.max(ctl.lease - now, 0))}
  end
  local lost = inflight
  judge_attempt(true)
  ctl.epoch, ctl.token, ctl.owner, ctl.base = ctl.epoch + 1, '', '', stored
  save('epoch', int(ctl.epoch), 'token', '', 'owner', '', 'released', '', 'lease', '0', 'barren',
       int(ctl.barren), 'base', int(stored))
  call('UNLINK', INFLIGHT)
  count()
  if ctl.cancel ~= '' then
    explain('cancelled', ctl.cancel)
    change('FAILED', 'cancelled', 'lost', int(lost))
  elseif ctl.barren >= ctl.max_attempts then
    explain('stalled', int(ctl.barren) .. ' owners in a row died without finishing a chunk')
    change('FAILED', 'stalled', 'lost', int(lost))
  elseif state == 'PROCESSING' then
    change('QUEUED', 'lease-expired', 'lost', int(lost))
  else
    emit('orphaned', 'lost', int(lost), counters())
  end
  touch()
  return {state == 'FAILED' and 'FAILED' or 'REQUEUED', int(lost)}
end

function ops.cancel()
  local note = ARGV[4] or ''
  if note == '' then note = 'cancelled' end
  if #note > 1000 then return bad('note') end
  if not exists then return {'NOJOB'} end
  if damage then return {'PARTIAL', damage} end
  if terminal then return ended() end
  if ctl.cancel ~= '' then return {'DUP', state} end
  ctl.cancel = note
  save('cancel', note)
  if ctl.token == '' then
    explain('cancelled', note)
    change('FAILED', 'cancelled')
  else
    emit('cancel', 'note', note)
  end
  touch()
  return {'OK', state}
end

-- Fenced.

function ops.sync()
  local seen = number(ARGV[4])
  if not seen then return bad('seq') end
  if seen > ctl.seq then
    ctl.seq = seen
    save('seq', int(seen))
    touch()
  end
  local done, broken, silent = tallies()
  return answer('OK', state, done, broken, silent)
end

function ops.move()
  local to, reason = ARGV[4], ARGV[5]
  if not to or not LEGAL[to] then return bad('state') end
  if not reason or reason == '' then return bad('reason') end
  if to == 'PROCESSING' then
    if not pairs_ok(6, 1, function(name) return name == 'source' end) or
       ARGV[7] and (ARGV[7] == '' or #ARGV[7] > MAX_SOURCE) then
      return bad('source')
    end
  elseif not pairs_ok(6, to == 'FAILED' and 8 or 0, function(name) return ERROR_FIELDS[name] end) then
    return bad('error')
  end
  if state == to and to == 'PROCESSING' then return answer('DUP') end
  if not LEGAL[state][to] then return {'ILLEGAL', state} end
  if to == 'COMPLETED' and failed > 0 then return {'ILLEGAL', state, int(failed)} end

  local lost = inflight
  if to == 'QUEUED' then
    judge_attempt(false)
    save('token', '', 'owner', '', 'lease', '0', 'released', token, 'barren', int(ctl.barren))
  elseif to ~= 'PROCESSING' then
    save('lease', '0')
  end
  if to ~= 'PROCESSING' then call('UNLINK', INFLIGHT) end
  if to == 'PROCESSING' then
    if ARGV[6] then call('HSET', META, 'source', ARGV[7]) end
  elseif ARGV[6] then
    call('UNLINK', ERROR)
    call('HSET', ERROR, 'at_ms', int(now), unpack(ARGV, 6))
  end
  count()
  if state ~= to then change(to, reason, 'lost', int(lost)) end
  touch()
  return answer('OK')
end

-- How a chunk is settled, and whether in an earlier run: a run sends what is not done once more.
-- Records that were made before their owner had an epoch are this run's.
local function settled_as(index)
  local record = call('HGET', CHUNKS, index)
  local status = record and (record:match('"status":"(%l+)"') or 'done') or nil
  if not record then
    record = call('HGET', CERR, index)
    status = record and 'failed' or nil
  end
  local by = record and number(record:match('"epoch":(%d+)'))
  return status, status ~= 'done' and by and ctl.epoch and by < ctl.epoch
end

function ops.beat()
  local lease = number(ARGV[4], 1)
  if not lease then return bad('lease') end
  save('lease', int(now + lease))
  touch()
  return answer('OK')
end

-- `epoch:attempt:ms` while a request is on its way, with `:wait` until the next one.
local function mark(index, attempt, waiting)
  local seen = call('HGET', INFLIGHT, index)
  if seen then
    local of, last, wait = seen:match('^(%d+):(%d+):%d+(.*)$')
    last = number(last) or 0
    if of == epoch and (last > attempt or (last == attempt and (waiting or wait == ''))) then
      return false
    end
  end
  call('HSET', INFLIGHT, index,
       epoch .. ':' .. int(attempt) .. ':' .. int(now) .. (waiting and ':wait' or ''))
  return true
end

local function forget(status, index)
  if status == 'failed' then
    call('HDEL', CERR, index)
  else
    call('HDEL', CHUNKS, index)
    skipped = skipped - 1
    ctl.base = math.max(ctl.base - 1, 0)
    save('base', int(ctl.base))
  end
end

local function tell_retry(index, attempt, delay, http, reason)
  emit('chunk', 'idx', index, 'status', 'retry', 'attempt', int(attempt), 'delay_ms', int(delay),
       'http_status', int(http), 'reason', reason, counters())
end

function ops.begin()
  local index, attempt = ARGV[4], number(ARGV[5], 1)
  if not number(index) then return bad('index') end
  if not attempt then return bad('attempt') end
  local status, earlier = settled_as(index)
  if status and not earlier then return answer('ALREADY', status) end
  if not mark(index, attempt, false) then return answer('DUP') end
  if earlier then forget(status, index) end
  count()
  if earlier then tell_retry(index, attempt, 0, 0, 'resumed') end
  touch()
  return answer('OK')
end

function ops.retry()
  local index, attempt, delay = ARGV[4], number(ARGV[5], 1), number(ARGV[6])
  local http, reason = number(ARGV[7]), ARGV[8]
  if not number(index) then return bad('index') end
  if not attempt then return bad('attempt') end
  if not delay then return bad('delay') end
  if not http then return bad('http_status') end
  if not reason or #reason > 1000 then return bad('reason') end
  local status, earlier = settled_as(index)
  if status and not earlier then return answer('ALREADY', status) end
  if not mark(index, attempt, true) then return answer('DUP') end
  if earlier then forget(status, index) end
  count()
  tell_retry(index, attempt, delay, http, reason)
  touch()
  return answer('OK')
end

-- `is`: how the chunk was settled before. A failed or skipped chunk may become something else in a
-- later run; done is final.
local function settle(status, is, index, record)
  if is == 'skipped' then
    skipped = skipped - 1
    call('HDEL', CHUNKS, index)
  end
  if status == 'failed' then
    call('HSET', CERR, index, record)
    call('HDEL', INFLIGHT, index)
    return
  end
  call('HSETNX', CHUNKS, index, record)
  call('HDEL', INFLIGHT, index)
  call('HDEL', CERR, index)
  if status == 'skipped' then
    skipped = skipped + 1
  else
    ctl.frames = ctl.frames + number(record:match('"frames":(%d+)'))
    save('frames', int(ctl.frames))
  end
end

local function readable(record)
  local status = record:match('"status":"(%l+)"')
  if status == 'done' then return number(record:match('"frames":(%d+)')) and status end
  return (status == 'failed' or status == 'skipped') and status or nil
end

local function settle_one(status, ...)
  local index, record = ARGV[4], ARGV[5]
  if not number(index) then return bad('index') end
  if not record or readable(record) ~= status then return bad('record') end
  local is, earlier = settled_as(index)
  if is == status and not earlier then return answer('DUP') end
  if is == 'done' then return answer('ALREADY', is) end
  settle(status, is, index, record)
  count()
  -- Silence that was found again is no news.
  if is ~= 'skipped' or status ~= 'skipped' then
    local extra = {...}
    for _, value in ipairs({counters()}) do extra[#extra + 1] = value end
    emit('chunk', 'idx', index, 'status', status, unpack(extra))
  end
  touch()
  return answer('OK')
end

function ops.done() return settle_one('done') end
function ops.fail() return settle_one('failed') end
function ops.skip()
  local reason = ARGV[6]
  if not reason or reason == '' or #reason > 100 then return bad('reason') end
  return settle_one('skipped', 'reason', reason)
end

function ops.put()
  if #ARGV > 403 or #ARGV % 2 == 0 then return bad('pairs') end
  for i = 4, #ARGV, 2 do
    if not number(ARGV[i]) then return bad('index') end
    if not readable(ARGV[i + 1]) then return bad('record') end
  end
  local added = 0
  for i = 4, #ARGV, 2 do
    local status, is = readable(ARGV[i + 1]), settled_as(ARGV[i])
    if is ~= 'done' and is ~= status then
      settle(status, is, ARGV[i], ARGV[i + 1])
      added = added + 1
    end
  end
  if added > 0 then
    count()
    touch()
  end
  return answer('OK', int(added))
end

function ops.progress()
  local cut, event = number(ARGV[4]), number(ARGV[5])
  if not cut then return bad('total') end
  if not event then return bad('event') end
  if event > 0 and event <= ctl.told then return answer('DUP') end
  total = math.max(total, cut)
  count()
  if event > 0 then
    save('told', int(event))
    emit('progress', counters())
  end
  touch()
  return answer('OK')
end

local run = ops[op]
if not run then return redis.error_reply('ERR the job script knows no operation ' .. tostring(op)) end
if op == 'create' or op == 'reset' or op == 'restore' or op == 'reap' or op == 'cancel' then
  return run()
end

local mine = number(epoch, 1)
if not mine then return bad('epoch') end
if not token or token == '' then return bad('token') end
if not exists then return {'NOJOB'} end
if ctl.epoch then
  if ctl.epoch < mine then return {'STALE', int(ctl.epoch)} end
  if ctl.epoch == mine and ctl.token == '' and ctl.released == token then
    return {'RELEASED', state or ''}
  end
  if ctl.epoch > mine or ctl.token ~= token then return {'FENCED', int(ctl.epoch), ctl.owner} end
end
if damage then return {'PARTIAL', damage} end
if terminal then
  if op == 'move' and ARGV[4] == state then return answer('DUP') end
  return ended()
end
return run()
