-- Request counts by component. Those from before version 0.2.0 belong to no known application: their names are empty.
CREATE TABLE components (
  id INTEGER PRIMARY KEY,
  reporter TEXT NOT NULL, -- 'component' or 'host'
  application TEXT NOT NULL,
  component TEXT NOT NULL,
  UNIQUE (reporter, application, component)
);
INSERT INTO components (reporter, application, component)
  SELECT DISTINCT reporter, '', '' FROM (
    SELECT reporter FROM requests UNION SELECT reporter FROM latency UNION SELECT reporter FROM totals);

CREATE TABLE component_requests (
  component INTEGER NOT NULL,
  endpoint TEXT NOT NULL,
  method TEXT NOT NULL,
  status TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (component, endpoint, method, status)
) WITHOUT ROWID;
INSERT INTO component_requests SELECT id, endpoint, method, status, count FROM requests JOIN components USING (reporter);
DROP TABLE requests;

CREATE TABLE component_latency (
  component INTEGER NOT NULL,
  endpoint TEXT NOT NULL,
  buckets TEXT NOT NULL, -- a JSON array of counts, not cumulative
  sum_nanos INTEGER NOT NULL,
  PRIMARY KEY (component, endpoint)
) WITHOUT ROWID;
INSERT INTO component_latency SELECT id, endpoint, buckets, sum_nanos FROM latency JOIN components USING (reporter);
DROP TABLE latency;

CREATE TABLE component_totals (
  component INTEGER NOT NULL,
  name TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (component, name)
) WITHOUT ROWID;
INSERT INTO component_totals SELECT id, name, count FROM totals JOIN components USING (reporter);
DROP TABLE totals;
