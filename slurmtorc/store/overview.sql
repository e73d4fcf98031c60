-- schema
SELECT 1 FROM alembic_version WHERE version_num = '0003';
-- workflow
SELECT workflow.name, workflow.user, workflow.run_id, workflow.is_canceled, (SELECT count(*) AS count_1 
FROM compute_node 
WHERE compute_node.workflow_id = workflow.id AND compute_node.is_active = 1) AS anon_1 
FROM workflow 
WHERE workflow.id = :workflow;
-- jobs
SELECT (SELECT count(*) AS count_1 
FROM job 
WHERE job.workflow_id = :workflow AND job.status = 0) AS "UNINITIALIZED", (SELECT count(*) AS count_2 
FROM job 
WHERE job.workflow_id = :workflow AND job.status = 1) AS "BLOCKED", (SELECT count(*) AS count_3 
FROM job 
WHERE job.workflow_id = :workflow AND job.status = 2) AS "READY", (SELECT count(*) AS count_4 
FROM job 
WHERE job.workflow_id = :workflow AND job.status = 3) AS "PENDING", (SELECT count(*) AS count_5 
FROM job 
WHERE job.workflow_id = :workflow AND job.status = 4) AS "RUNNING", (SELECT count(*) AS count_6 
FROM job 
WHERE job.workflow_id = :workflow AND job.status = 5) AS "COMPLETED", (SELECT count(*) AS count_7 
FROM job 
WHERE job.workflow_id = :workflow AND job.status = 6) AS "FAILED", (SELECT count(*) AS count_8 
FROM job 
WHERE job.workflow_id = :workflow AND job.status = 7) AS "CANCELED", (SELECT count(*) AS count_9 
FROM job 
WHERE job.workflow_id = :workflow AND job.status = 8) AS "TERMINATED", (SELECT count(*) AS count_10 
FROM job 
WHERE job.workflow_id = :workflow AND job.status = 9) AS "DISABLED", (SELECT count(*) AS count_11 
FROM job 
WHERE job.workflow_id = :workflow AND job.status = 10) AS "PENDING_FAILED";
-- allocations
SELECT allocation.status, count(*) AS count_1 
FROM allocation 
WHERE allocation.workflow_id = :workflow GROUP BY allocation.status;
-- failures
SELECT job.id, job.name, result.attempt_id, result.return_code, result.status, result.ending, result.exec_time_s, result.stderr_path, result.stderr_tail 
FROM job JOIN result ON result.id = (SELECT max(attempt.id) AS max_1 
FROM result AS attempt 
WHERE attempt.job_id = job.id AND attempt.superseded = 0) 
WHERE job.id IN (SELECT job.id 
FROM job 
WHERE job.workflow_id = :workflow AND job.status IN (6, 8, 10) ORDER BY job.id
 LIMIT 10 OFFSET 0) ORDER BY job.id;
-- actions
SELECT workflow_action.id, workflow_action.trigger_type, workflow_action.persistent, action_run.end_time, action_run.return_code, action_run.reason, action_run.log_path 
FROM workflow_action JOIN action_run ON action_run.action_id = workflow_action.id 
WHERE action_run.workflow_id = :workflow AND action_run.run_id = :run AND workflow_action.is_recovery = 0 ORDER BY action_run.id;
