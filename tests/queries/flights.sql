-- Questions to the flights out of New York City in 2013, chosen for the variety of SQL they need.

-- name: carriers_by_flights
-- order: 3, 1
-- join of a dictionary column with a string, group by, order by an aggregate
SELECT a.carrier, a.name, count(*) AS flown, avg(f.dep_delay) AS mean_delay
FROM flights f JOIN airlines a ON f.carrier = a.carrier
GROUP BY a.carrier, a.name
ORDER BY flown DESC, a.carrier;

-- name: busiest_routes
-- order: 4, 1, 2
SELECT origin, dest, count(DISTINCT carrier) AS carriers, count(*) AS flown
FROM flights
GROUP BY origin, dest
ORDER BY flown DESC, origin, dest
LIMIT 25;

-- name: null_logic
-- cancelled flights: null in, null out, three-valued comparison
SELECT count(*) AS total, count(dep_time) AS departed, count(arr_time) AS landed,
       sum(CASE WHEN dep_delay > 0 THEN 1 ELSE 0 END) AS late,
       sum(CASE WHEN NOT (dep_delay > 0) THEN 1 ELSE 0 END) AS not_late,
       sum(CASE WHEN (dep_delay > 0) IS NULL THEN 1 ELSE 0 END) AS unknown
FROM flights;

-- name: months_with_having
-- order: 1
SELECT month, count(*) AS cancelled
FROM flights
WHERE dep_time IS NULL
GROUP BY month
HAVING count(*) > 500
ORDER BY month;

-- name: rank_of_delay
-- order: 1, 3, 2
-- window with partition, ties ranked alike
WITH per_carrier AS (
    SELECT origin, carrier, count(*) AS flown FROM flights GROUP BY origin, carrier)
SELECT origin, carrier, rank() OVER (PARTITION BY origin ORDER BY flown DESC) AS place, flown
FROM per_carrier
ORDER BY origin, place, carrier;

-- name: running_total
-- order: 1
-- window frame over days
WITH daily AS (
    SELECT cast(month AS INTEGER) * 100 + day AS day_key, count(*) AS flown
    FROM flights GROUP BY cast(month AS INTEGER) * 100 + day)
SELECT day_key, flown,
       sum(flown) OVER (ORDER BY day_key ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS week,
       flown - lag(flown, 7) OVER (ORDER BY day_key) AS against_last_week
FROM daily
ORDER BY day_key;

-- name: top_three_planes
-- order: 1, 5
SELECT manufacturer, tailnum, model, flown, place
FROM (
    SELECT p.manufacturer, f.tailnum, p.model, count(*) AS flown,
           row_number() OVER (
               PARTITION BY p.manufacturer ORDER BY count(*) DESC, f.tailnum) AS place
    FROM flights f JOIN planes p ON f.tailnum = p.tailnum
    GROUP BY p.manufacturer, f.tailnum, p.model) AS ranked
WHERE place <= 3
ORDER BY manufacturer, place;

-- name: hours_of_day
-- order: 1
-- timestamps with a time zone, cut to the hour in UTC
SELECT extract(HOUR FROM time_hour) AS utc_hour, count(*) AS flown, min(time_hour) AS first_seen,
       max(time_hour) AS last_seen
FROM flights
GROUP BY extract(HOUR FROM time_hour)
ORDER BY utc_hour;

-- name: time_range
-- an interval of timestamps
SELECT origin, count(*) AS flown, sum(distance) AS miles
FROM flights
WHERE time_hour >= TIMESTAMP '2013-07-04 04:00:00Z' AND time_hour < TIMESTAMP '2013-07-05 04:00:00Z'
GROUP BY origin;

-- name: month_buckets
-- order: 1
SELECT date_trunc('month', time_hour) AS month_start, count(*) AS flown,
       count(*) FILTER (WHERE arr_delay > 60) AS very_late
FROM flights
GROUP BY date_trunc('month', time_hour)
ORDER BY month_start;

-- name: weather_and_delay
-- order: 1
-- join on two keys, one of them a timestamp
SELECT CASE WHEN w.visib < 2 THEN 'poor' WHEN w.visib < 8 THEN 'fair' ELSE 'good' END AS sight,
       count(*) AS flown, avg(f.dep_delay) AS mean_delay, min(w.pressure) AS lowest_pressure
FROM flights f JOIN weather w ON f.origin = w.origin AND f.time_hour = w.time_hour
GROUP BY 1
ORDER BY 1;

-- name: unknown_planes
-- anti join with nulls on the left
SELECT count(*) AS flown, count(DISTINCT f.tailnum) AS tails
FROM flights f
WHERE NOT EXISTS (SELECT 1 FROM planes p WHERE p.tailnum = f.tailnum);

-- name: left_join_coalesce
-- order: 2, 1
SELECT coalesce(a.name, '(not in the list)') AS airport, count(*) AS flown
FROM flights f LEFT JOIN airports a ON f.dest = a.faa
GROUP BY coalesce(a.name, '(not in the list)')
ORDER BY flown DESC, airport;

-- name: distinct_pairs
-- order: 1, 2
SELECT DISTINCT carrier, origin FROM flights WHERE carrier LIKE '_A' OR carrier IN ('9E', 'B6')
ORDER BY carrier, origin;

-- name: like_patterns
-- order: 1
SELECT faa, upper(name) AS name, length(name) AS name_length, substr(tzone, 1, 7) AS region
FROM airports
WHERE name LIKE '%Intl' AND name NOT LIKE 'San%' AND alt > 1000
ORDER BY faa;

-- name: union_of_kinds
-- order: 1, 2
SELECT 'origin' AS role, origin AS code, count(*) AS flown FROM flights GROUP BY origin
UNION ALL
SELECT 'airport', faa, alt FROM airports WHERE faa IN ('JFK', 'LGA', 'EWR')
ORDER BY role, code;

-- name: set_operations
-- order: 1
(SELECT dest AS code FROM flights EXCEPT SELECT faa FROM airports)
UNION
(SELECT origin FROM flights INTERSECT SELECT faa FROM airports)
ORDER BY code;

-- name: percentiles
-- order: 1
-- exact median, spread and correlation
SELECT carrier, median(cast(distance AS DOUBLE)) AS median_distance, stddev_samp(dep_delay) AS spread,
       corr(dep_delay, arr_delay) AS kept
FROM flights
WHERE dep_delay IS NOT NULL AND arr_delay IS NOT NULL
GROUP BY carrier
HAVING count(*) > 100
ORDER BY carrier;

-- name: conditional_sums
-- order: 1, 2
-- small integers (int8, int16) in arithmetic that leaves their range
SELECT year, month, sum(dep_time) AS dep_times, max(cast(month AS INTEGER) * 1000 + day) AS greatest,
       sum(CASE WHEN dep_time < sched_dep_time THEN 1 ELSE 0 END) AS early,
       nullif(min(dep_time), 1) AS not_one
FROM flights
GROUP BY year, month
ORDER BY year, month;

-- name: age_of_fleet
-- order: 1
WITH fleet AS (
    SELECT tailnum, year AS built, seats FROM planes WHERE year IS NOT NULL AND seats > 20),
per_flight AS (
    SELECT f.carrier, 2013 - fleet.built AS age, fleet.seats
    FROM flights f JOIN fleet ON f.tailnum = fleet.tailnum)
SELECT carrier, avg(age) AS mean_age, max(age) AS oldest, sum(seats) AS seats_offered
FROM per_flight
GROUP BY carrier
ORDER BY carrier;

-- name: best_day_per_origin
-- order: 1
-- scalar subquery in a comparison, correlated
WITH daily AS (
    SELECT origin, month, day, avg(arr_delay) AS mean_delay
    FROM flights GROUP BY origin, month, day)
SELECT d.origin, d.month, d.day, d.mean_delay
FROM daily d
WHERE d.mean_delay = (SELECT min(x.mean_delay) FROM daily x WHERE x.origin = d.origin)
ORDER BY d.origin;
