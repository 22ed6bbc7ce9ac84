-- For listings of rare types. The two types that nearly all events are of are found at once by walking the events; leaving
-- them out spares each exchange and refresh a write. Queries for the others repeat this condition word by word.
CREATE INDEX events_of_kind ON events (developer_id, kind, seq) WHERE kind NOT IN ('grant.created', 'token.issued');
