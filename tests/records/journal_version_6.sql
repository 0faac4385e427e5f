CREATE TABLE clock_steps (  -- times when the wall clock was set
    id INTEGER PRIMARY KEY,  -- number of the step
    session INTEGER NOT NULL REFERENCES sessions (id),  -- its session
    after_part INTEGER NOT NULL,  -- the last part before it
    t_mono_ns INTEGER NOT NULL,  -- when
    t_from_utc_ns INTEGER NOT NULL,  -- wall time before
    t_to_utc_ns INTEGER NOT NULL  -- wall time after
) STRICT;
INSERT INTO "clock_steps" VALUES(1,2,9,5,6,7);
CREATE TABLE deletions (  -- parts that retention has deleted
    reason TEXT PRIMARY KEY,  -- `keep_days` or `max_mb`
    parts INTEGER NOT NULL,  -- how many so far
    last_part INTEGER NOT NULL,  -- the highest part number deleted
    t_utc_ns INTEGER NOT NULL  -- when last
) STRICT;
INSERT INTO "deletions" VALUES('keep_days',1,1,9);
CREATE TABLE engines (  -- engines that have judged parts
    id INTEGER PRIMARY KEY,  -- number of the engine
    name TEXT NOT NULL,  -- its name, from `engine.yaml`
    hash TEXT NOT NULL,  -- SHA-256 of the bundle's manifest
    UNIQUE (name, hash)
) STRICT;
INSERT INTO "engines" VALUES(1,'labels','abababababababababababababababababababababababababababababababab');
INSERT INTO "engines" VALUES(2,'labels','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd');
INSERT INTO "engines" VALUES(3,'toy','0000000000000000000000000000000000000000000000000000000000000000');
CREATE TABLE feed (  -- what the numbers of changes depend on: one row
    journal TEXT NOT NULL,  -- random name of this journal; numbers of two journals can't be compared
    deleted INTEGER NOT NULL  -- the highest `change` of all deleted rows, so that no number is used again
) STRICT;
INSERT INTO "feed" VALUES('2b2ec4dc1431f10bb4d526d4bbcc5e82',0);
CREATE TABLE outages (  -- intervals without full inspection
    id INTEGER PRIMARY KEY,  -- number of the outage
    session INTEGER NOT NULL REFERENCES sessions (id),  -- the session that noted it
    kind TEXT NOT NULL,  -- `camera`, `output`, `record_error`, `not_driven` or `unseen`
    t_from_utc_ns INTEGER NOT NULL,  -- begin
    t_to_utc_ns INTEGER,  -- end; empty while it lasts
    parts INTEGER NOT NULL,  -- parts without a row of their own
    detail TEXT NOT NULL,  -- the cause, in a sentence
    t_from_mono_ns INTEGER,  -- begin
    duration_ns INTEGER,  -- how long it lasted
    first_part INTEGER,  -- first part concerned
    last_part INTEGER  -- last part concerned
, change INTEGER) STRICT;
INSERT INTO "outages" VALUES(1,1,'record_error',1795799200219895379,1795799200219901348,2,'rejected, but could not be recorded one by one',17313504140939,5879,7,8,NULL);
INSERT INTO "outages" VALUES(2,1,'camera',1795799200219905194,1795799200219850022,0,'no image for 5 s',17313504150884,NULL,NULL,NULL,NULL);
INSERT INTO "outages" VALUES(3,2,'unseen',1795799200219850022,1795799200254684237,0,'the service ended without finishing its parts',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "outages" VALUES(4,3,'output',1795806097444735550,1795806097444746146,0,'the reject output can''t be driven',24210728981280,10566,NULL,NULL,NULL);
INSERT INTO "outages" VALUES(5,5,'camera',1795830591917441002,1795830591917444407,0,'the camera gave no frames',48705201686692,3415,NULL,NULL,NULL);
CREATE TABLE parts (  -- one row per label
    id INTEGER PRIMARY KEY,  -- part number; goes on over all sessions
    session INTEGER NOT NULL REFERENCES sessions (id),  -- its session
    engine INTEGER NOT NULL REFERENCES engines (id),  -- the engine in use
    frame_number INTEGER NOT NULL,  -- the camera's frame counter
    t_utc_ns INTEGER NOT NULL,  -- time of the trigger
    t_mono_ns INTEGER NOT NULL,  -- time of the trigger
    verdict TEXT NOT NULL CHECK (verdict IN ('pass', 'fault', 'uncertain', 'missed')),  -- `pass`, `fault`, `uncertain` or `missed`
    reason TEXT CHECK (CASE WHEN reason IN ('anomaly', 'text_not_expected') THEN verdict = 'uncertain' WHEN reason IN ('text_wrong', 'text_unreadable', 'text_missing', 'code_unreadable', 'code_wrong') THEN verdict = 'fault' ELSE (verdict = 'missed') = (reason IS NOT NULL) END),  -- why it was missed; `anomaly` if the guard stopped it; the verdict on a text field that is not `right`
    class TEXT CHECK (verdict = 'missed' OR class IS NOT NULL),  -- the class with the highest score; empty if the part was not inspected
    certainty REAL CHECK ((class IS NULL) = (certainty IS NULL)),  -- the highest score
    scores TEXT,  -- scores of all classes, as JSON
    acquire_us INTEGER NOT NULL,  -- trigger to arrival of the image
    queue_us INTEGER NOT NULL,  -- time in the queue
    preprocess_us INTEGER,  -- preprocessing
    infer_us INTEGER,  -- inference
    record_us INTEGER,  -- commit
    verdict_us INTEGER NOT NULL,  -- trigger to verdict
    gate_outcome TEXT,  -- what the gate did: `passed`, `rejected`, `rejected_late`, `rejected_stopped`, `rejected_with_other` or `not_driven`
    gate_lateness_us INTEGER,  -- begin of the pulse minus due time
    image TEXT,  -- the archived image
    anomaly_kind TEXT CHECK (anomaly_kind IN ('print', 'part', 'turned', 'shifted', 'faded')),  -- what is unlike good labels: a place of the `print`, of the `part` around it, or the whole print: `turned`, `shifted` or `faded`
    anomaly_left INTEGER,  -- left edge of the anomaly, in px of the image
    anomaly_top INTEGER,  -- top edge of the anomaly, in px of the image
    anomaly_width INTEGER,  -- width of the anomaly, in px of the image
    anomaly_height INTEGER,  -- height of the anomaly, in px of the image
    anomaly_excess REAL,  -- the anomaly's score as a multiple of the engine's limit, above 1
    guard_us INTEGER,  -- the guard's look; empty if the guard did not look
    text_us INTEGER,  -- verifying texts and codes; empty if they were not looked at
    reader INTEGER REFERENCES engines (id),  -- the reader in use for texts; empty if there is none
    change INTEGER,  -- number of the row's newest change; empty if that is older than schema version 6
    CHECK ((reason IS 'anomaly') = (anomaly_kind IS NOT NULL) AND (reason IS 'anomaly') = (anomaly_left IS NOT NULL) AND (reason IS 'anomaly') = (anomaly_top IS NOT NULL) AND (reason IS 'anomaly') = (anomaly_width IS NOT NULL) AND (reason IS 'anomaly') = (anomaly_height IS NOT NULL) AND (reason IS 'anomaly') = (anomaly_excess IS NOT NULL))
) STRICT;
INSERT INTO "parts" VALUES(2,1,1,2,1795799200219468873,17313503714363,'fault',NULL,'crooked',0.914,'[0.914, 0.027]',2100,40,300,6200,410,9800,'not_driven',120,'archive/2.png',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(3,1,1,3,1795799200219581671,17313503827241,'uncertain',NULL,'good',0.35,'[0.12, 0.35]',2100,40,300,6200,410,9800,'rejected',120,'archive/3.png',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(4,1,1,4,1795799200219695551,17313503941081,'missed','overrun',NULL,NULL,NULL,2100,40,NULL,NULL,410,9800,'rejected',120,'archive/4.png',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(5,1,1,5,1795799200219790112,17313504035622,'missed','late','good',0.942,'[0.031, 0.942]',2100,40,300,6200,410,9800,'rejected',120,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(6,1,1,6,1795799200219850022,17313504095572,'pass',NULL,'good',0.942,'[0.031, 0.942]',2100,40,300,6200,410,9800,'passed',120,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(9,2,2,9,1795799200255347786,17313539593336,'fault',NULL,'crooked',0.914,'[0.914, 0.027]',2100,40,300,6200,NULL,9800,'rejected',-3,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(10,2,2,10,1795799200255571620,17313539817090,'uncertain',NULL,'good',0.35,'[0.12, 0.35]',2100,40,300,6200,NULL,9800,'rejected',-3,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(11,3,3,11,1795806097444407801,24210728652810,'uncertain','anomaly','good',0.9,'[0.125, 0.9]',100,50,200,3000,NULL,4000,'rejected',0,NULL,'print',120,80,24,16,1.75,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(12,3,3,12,1795806097444674088,24210728919428,'pass',NULL,'good',0.9,'[0.125, 0.9]',100,50,200,3000,NULL,4000,'passed',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(13,4,3,13,1795817128604542935,35241888787663,'pass',NULL,'good',0.9,'[0.125, 0.9]',100,50,200,3000,NULL,4000,'passed',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(14,4,3,14,1795817128604894369,35241889139548,'fault',NULL,'bad',0.9,'[0.9, 0.125]',100,50,200,3000,NULL,4000,'rejected',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(15,4,3,15,1795817128605055609,35241889301049,'uncertain','anomaly','good',0.9,'[0.125, 0.9]',100,50,200,3000,NULL,4000,'rejected',0,NULL,'print',120,80,24,16,1.75,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(16,5,3,16,1795830591916977731,48705201222990,'fault','text_wrong','good',0.9,'[0.125, 0.9]',100,50,200,3000,NULL,4000,'rejected',12,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(17,5,3,17,1795830591917278550,48705201523889,'uncertain','text_not_expected','good',0.9,'[0.125, 0.9]',100,50,200,3000,NULL,4000,'rejected',15,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(18,5,3,18,1795830591917345439,48705201590889,'pass',NULL,'good',0.9,'[0.125, 0.9]',100,50,200,3000,NULL,4000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "parts" VALUES(19,6,3,19,1795841036456417445,59149740662184,'pass',NULL,'good',0.9,'[0.125, 0.9]',100,50,200,3000,90,4000,'passed',40,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,4);
INSERT INTO "parts" VALUES(20,6,3,20,1795841036456897461,59149741141418,'fault',NULL,'bad',0.9,'[0.9, 0.125]',100,50,200,3000,NULL,4000,'rejected',30,'/var/lib/inspectd/archive/2026-11-28/000000020_fault.png',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,7);
INSERT INTO "parts" VALUES(21,6,3,21,1795841036457159111,59149741404451,'fault','text_wrong','good',0.9,'[0.125, 0.9]',100,50,200,3000,NULL,4000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,8);
CREATE TABLE sessions (  -- one run of the line, from start to end
    id INTEGER PRIMARY KEY,  -- number of the session
    started_utc_ns INTEGER NOT NULL,  -- when it began
    alive_utc_ns INTEGER NOT NULL,  -- when it last wrote, at most a second ago while it runs
    ended_utc_ns INTEGER,  -- when it ended; empty while it runs, and after a crash until the next session begins
    started_mono_ns INTEGER NOT NULL DEFAULT 0,  -- when it began
    alive_mono_ns INTEGER NOT NULL DEFAULT 0,  -- when it last wrote
    clock_steps INTEGER NOT NULL DEFAULT 0,  -- how often the wall clock was set meanwhile
    first_part INTEGER,  -- its first part
    last_part INTEGER,  -- its last part so far
    triggers INTEGER,  -- labels by the line's own count
    accounted INTEGER NOT NULL DEFAULT 0,  -- parts that the journal has recorded or counted as not recorded; differs from `triggers` if something was lost
    images_lost INTEGER NOT NULL DEFAULT 0,  -- images that the archive dropped or could not store
    notes_lost INTEGER NOT NULL DEFAULT 0,  -- outcomes, durations or image names that could not be recorded
    ended_cleanly INTEGER NOT NULL DEFAULT 0  -- 1: every label had its verdict at the end
, change INTEGER) STRICT;
INSERT INTO "sessions" VALUES(1,1795799200218805384,1795799200218805384,1795799200218805384,17313503057563,17313503057563,0,1,0,NULL,0,0,0,0,NULL);
INSERT INTO "sessions" VALUES(2,1795799200254684237,1795799200255722495,1795799200255722495,17313538930888,17313539968215,0,9,10,NULL,2,1,0,1,NULL);
INSERT INTO "sessions" VALUES(3,1795806097443943208,1795806097444892394,1795806097444892394,24210728193495,24210729138104,0,11,12,NULL,2,0,0,1,NULL);
INSERT INTO "sessions" VALUES(4,1795817128604070690,1795817128605246274,1795817128605246274,35241888322530,35241889491974,0,13,15,NULL,3,0,0,1,NULL);
INSERT INTO "sessions" VALUES(5,1795830591916697203,1795830591917562072,1795830591917562072,48705200945867,48705201807773,0,16,18,NULL,3,0,0,1,NULL);
INSERT INTO "sessions" VALUES(6,1795841036455953032,1795841036457578146,1795841036457578146,59149740203269,59149741823866,0,19,21,NULL,3,0,0,1,10);
CREATE TABLE stops (  -- latched stops: run permit is off until somebody has looked
    id INTEGER PRIMARY KEY,  -- number of the stop
    session INTEGER NOT NULL REFERENCES sessions (id),  -- its session
    reason TEXT NOT NULL,  -- `reject_not_driven`, `reject_unconfirmed` or `too_many_rejects`
    t_utc_ns INTEGER NOT NULL,  -- begin
    t_mono_ns INTEGER NOT NULL,  -- begin
    acknowledged_utc_ns INTEGER,  -- when it was acknowledged; empty while it lasts, and if the line ended before
    duration_ns INTEGER,  -- begin to acknowledgement
    acknowledged_by TEXT,  -- name of the user who acknowledged it, or `SIGHUP` after a reload by a signal
    acknowledged_uid INTEGER,  -- number of this user; empty after a signal
    acknowledged_pid INTEGER  -- process that asked for it; empty after a signal
, change INTEGER) STRICT;
INSERT INTO "stops" VALUES(1,4,'too_many_rejects',1795817128605119164,35241889364914,1795817128605128388,9174,'anna',1000,4711,NULL);
INSERT INTO "stops" VALUES(2,4,'reject_not_driven',1795817128605130821,35241889376522,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "stops" VALUES(3,5,'too_many_rejects',1795830591917436976,48705201682716,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "stops" VALUES(4,6,'reject_unconfirmed',1795841036457403626,59149741649466,NULL,NULL,NULL,NULL,NULL,9);
CREATE TABLE texts (  -- one row per label and text field, if the fields were verified
    part INTEGER NOT NULL REFERENCES parts (id),  -- the label
    field TEXT NOT NULL,  -- name of the field in the config
    verdict TEXT NOT NULL CHECK (verdict IN ('right', 'text_wrong', 'text_unreadable', 'text_missing', 'code_unreadable', 'code_wrong', 'text_not_expected')),  -- `right`, or why the label is rejected
    expected TEXT NOT NULL,  -- the texts that were allowed, as JSON; two during a change of day or job; none if nothing was known
    source TEXT NOT NULL,  -- where they come from, or why nothing was known
    found TEXT NOT NULL,  -- of a right field, the allowed text that it says; of a wrong one, what was read, as far as it could be
    score REAL,  -- of a text: how well it fits, above 0 if it is accepted; empty for a code, and if it was not looked at
    character INTEGER,  -- of a wrong text: place of the worst character in the expected text, counted from 0
    character_expected TEXT,  -- this character as expected; empty text if there is a character too many
    character_found TEXT,  -- this character as found; empty text if it is missing, `?` if it is damaged
    box_left INTEGER NOT NULL,  -- left edge of the worst character or else of the field, in px of the image
    box_top INTEGER NOT NULL,  -- its top edge
    box_width INTEGER NOT NULL,  -- its width
    box_height INTEGER NOT NULL,  -- its height
    PRIMARY KEY (part, field)
) STRICT, WITHOUT ROWID;
INSERT INTO "texts" VALUES(16,'date','text_wrong','["25.11.2026"]','date','24.11.2026',-7.5,1,'5','4',30,40,9,20);
INSERT INTO "texts" VALUES(16,'lot','right','["LOT 7481-83", "LOT 7482-01"]','given, both until 06:02','LOT 7482-01',1.5,NULL,NULL,NULL,9,8,90,20);
INSERT INTO "texts" VALUES(17,'lot','text_not_expected','[]','nobody has given a lot','',NULL,NULL,NULL,NULL,9,8,90,20);
INSERT INTO "texts" VALUES(18,'lot','right','["LOT 7481-83", "LOT 7482-01"]','given, both until 06:02','LOT 7482-01',1.5,NULL,NULL,NULL,9,8,90,20);
INSERT INTO "texts" VALUES(21,'date','text_wrong','["25.11.2026"]','date','24.11.2026',-7.5,1,'5','4',30,40,9,20);
CREATE INDEX parts_by_time ON parts (t_utc_ns);
CREATE INDEX parts_by_change ON parts (change) WHERE change IS NOT NULL;
CREATE TRIGGER parts_inserted AFTER INSERT ON parts BEGIN
    UPDATE parts SET change = 1 + max((SELECT deleted FROM feed), ifnull((SELECT max(change) FROM parts WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM stops WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM outages WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM sessions WHERE change IS NOT NULL), 0)) WHERE id = new.id;
END;
CREATE TRIGGER parts_amended AFTER UPDATE ON parts WHEN new.change IS old.change BEGIN
    UPDATE parts SET change = 1 + max((SELECT deleted FROM feed), ifnull((SELECT max(change) FROM parts WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM stops WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM outages WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM sessions WHERE change IS NOT NULL), 0)) WHERE id = new.id;
END;
CREATE TRIGGER parts_deleted AFTER DELETE ON parts WHEN old.change > (SELECT deleted FROM feed) BEGIN
    UPDATE feed SET deleted = old.change;
END;
CREATE INDEX stops_by_change ON stops (change) WHERE change IS NOT NULL;
CREATE TRIGGER stops_inserted AFTER INSERT ON stops BEGIN
    UPDATE stops SET change = 1 + max((SELECT deleted FROM feed), ifnull((SELECT max(change) FROM parts WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM stops WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM outages WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM sessions WHERE change IS NOT NULL), 0)) WHERE id = new.id;
END;
CREATE TRIGGER stops_amended AFTER UPDATE ON stops WHEN new.change IS old.change BEGIN
    UPDATE stops SET change = 1 + max((SELECT deleted FROM feed), ifnull((SELECT max(change) FROM parts WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM stops WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM outages WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM sessions WHERE change IS NOT NULL), 0)) WHERE id = new.id;
END;
CREATE TRIGGER stops_deleted AFTER DELETE ON stops WHEN old.change > (SELECT deleted FROM feed) BEGIN
    UPDATE feed SET deleted = old.change;
END;
CREATE INDEX outages_by_change ON outages (change) WHERE change IS NOT NULL;
CREATE TRIGGER outages_inserted AFTER INSERT ON outages BEGIN
    UPDATE outages SET change = 1 + max((SELECT deleted FROM feed), ifnull((SELECT max(change) FROM parts WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM stops WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM outages WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM sessions WHERE change IS NOT NULL), 0)) WHERE id = new.id;
END;
CREATE TRIGGER outages_amended AFTER UPDATE ON outages WHEN new.change IS old.change BEGIN
    UPDATE outages SET change = 1 + max((SELECT deleted FROM feed), ifnull((SELECT max(change) FROM parts WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM stops WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM outages WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM sessions WHERE change IS NOT NULL), 0)) WHERE id = new.id;
END;
CREATE TRIGGER outages_deleted AFTER DELETE ON outages WHEN old.change > (SELECT deleted FROM feed) BEGIN
    UPDATE feed SET deleted = old.change;
END;
CREATE INDEX sessions_by_change ON sessions (change) WHERE change IS NOT NULL;
CREATE TRIGGER sessions_inserted AFTER INSERT ON sessions BEGIN
    UPDATE sessions SET change = 1 + max((SELECT deleted FROM feed), ifnull((SELECT max(change) FROM parts WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM stops WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM outages WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM sessions WHERE change IS NOT NULL), 0)) WHERE id = new.id;
END;
CREATE TRIGGER sessions_amended AFTER UPDATE ON sessions WHEN new.change IS old.change BEGIN
    UPDATE sessions SET change = 1 + max((SELECT deleted FROM feed), ifnull((SELECT max(change) FROM parts WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM stops WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM outages WHERE change IS NOT NULL), 0), ifnull((SELECT max(change) FROM sessions WHERE change IS NOT NULL), 0)) WHERE id = new.id;
END;
CREATE TRIGGER sessions_deleted AFTER DELETE ON sessions WHEN old.change > (SELECT deleted FROM feed) BEGIN
    UPDATE feed SET deleted = old.change;
END;
CREATE INDEX rejects ON parts (id, t_utc_ns, verdict, reason, class, certainty, engine) WHERE verdict <> 'pass';
CREATE INDEX kept_passes ON parts (id, t_utc_ns, verdict, class, certainty, engine) WHERE verdict = 'pass' AND image IS NOT NULL;
CREATE INDEX wrong_texts ON texts (field, part) WHERE verdict <> 'right';
PRAGMA application_id = 442231933;
PRAGMA user_version = 6;
