-- Runs in the hop to an external endpoint. Nothing of the client but what the request needs leaves the cluster, and the model
-- name is the declared one. Every other byte of the body stays as it was: parsing and writing JSON anew would change numbers.

local keep = {
  ["accept"] = true, ["accept-encoding"] = true, ["content-type"] = true, ["content-length"] = true, ["content-encoding"] = true,
  ["transfer-encoding"] = true, ["expect"] = true, ["te"] = true, ["user-agent"] = true,
}

local function clean(headers)
  local gone = {}
  for name, _ in pairs(headers) do
    if name:sub(1, 1) ~= ":" and not keep[name] then gone[#gone + 1] = name end
  end
  for _, name in ipairs(gone) do headers:remove(name) end
end

-- Returns the position after the JSON string that opens at i.
local function after(s, i)
  local j = i + 1
  while true do
    j = s:find('["\\]', j)
    if not j then return nil end
    if s:byte(j) == 34 then return j + 1 end
    j = j + 2
  end
end

local function unescape(s)
  return (s:gsub("\\u00(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- Returns the body with every "model" of the outermost object replaced, or nil if there is none.
local function rename(s, model)
  local depth, i, done, out = 0, 1, 1, {}
  while true do
    i = s:find('["{}%[%]]', i)
    if not i then break end
    local byte = s:byte(i)
    if byte == 34 then
      local stop = after(s, i)
      if not stop then return nil end
      local value = depth == 1 and s:match("^%s*:%s*()", stop) or nil
      if value and unescape(s:sub(i + 1, stop - 2)) == "model" and s:byte(value) == 34 then
        local past = after(s, value)
        if not past then return nil end
        out[#out + 1] = s:sub(done, value - 1)
        out[#out + 1] = '"' .. model .. '"'
        done, stop = past, past
      end
      i = stop
    else
      depth = depth + ((byte == 123 or byte == 91) and 1 or -1)
      i = i + 1
    end
  end
  if done == 1 then return nil end
  out[#out + 1] = s:sub(done)
  return table.concat(out)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  clean(headers)
  local model = handle:metadata():get("model")
  local kind = headers:get("content-type")
  if not model or (kind and not kind:lower():find("json", 1, true)) then return end
  local body = handle:body()
  if not body then return end
  local renamed = rename(body:getBytes(0, body:length()), model)
  if renamed then body:setBytes(renamed) end
end
