-- What a program does that makes several calls, to another object each time, as an SDK signs them: no two requests of
-- a run are the same bytes. wrk's own fields are those of `layout.head_fields`.

local body = string.rep("x", 1024)
local calls = {
  { method = "GET" },
  { method = "PUT", body = body, fields = { ["Content-Type"] = "application/octet-stream" } },
  { method = "GET", fields = { ["Range"] = "bytes=0-1023" } },
  { method = "DELETE" },
}
local count = 0

local function digits(words)
  local found = {}
  for place = 1, words do
    found[place] = string.format("%08x", math.random(0, 0x7fffffff))
  end
  return table.concat(found)
end

function request()
  count = count + 1
  local call = calls[count % #calls + 1]
  local fields = {}
  for name, value in pairs(wrk.headers) do
    fields[name] = value
  end
  for name, value in pairs(call.fields or {}) do
    fields[name] = value
  end
  fields["Authorization"] = fields["Authorization"]:gsub("Signature=%x+", "Signature=" .. digits(8))
  fields["amz-sdk-invocation-id"] = digits(4)
  fields["X-Amz-Date"] = string.format("20261121T10%02d%02dZ", count / 60 % 60, count % 60)
  return wrk.format(call.method, "/object-" .. digits(1), fields, call.body)
end
