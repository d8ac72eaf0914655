-- The reference back office: help desk, CRM, CMS, tasks and metrics of one small software company.
--
-- It may be run again at any time. Every table that a write tool fills has a unique `idempotency_key`: a repeated
-- attempt of one call meets its own row (ON CONFLICT DO NOTHING) and answers with it, so each call lands once.

CREATE SCHEMA IF NOT EXISTS backoffice;

-- One row: the day that the seed's relative dates count back from, so that seeding again changes nothing.
CREATE TABLE IF NOT EXISTS backoffice.seeding (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT seeding_has_one_row CHECK (only_row),
    anchor date NOT NULL,
    seeded_at timestamptz NOT NULL DEFAULT now()
);

-- Customers -----------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS backoffice.customers (
    id text PRIMARY KEY,
    name text NOT NULL,
    domain text NOT NULL CONSTRAINT customers_domain_key UNIQUE,
    contact_name text NOT NULL,
    email text NOT NULL CONSTRAINT customers_email_key UNIQUE,
    industry text NOT NULL,
    country text NOT NULL CONSTRAINT customers_country_is_iso CHECK (country ~ '^[A-Z]{2}$'),
    plan text NOT NULL CONSTRAINT customers_plan_known
        CHECK (plan IN ('free', 'starter', 'team', 'business', 'enterprise')),
    seats integer NOT NULL CONSTRAINT customers_seats_positive CHECK (seats > 0),
    monthly_cents bigint NOT NULL CONSTRAINT customers_monthly_not_negative CHECK (monthly_cents >= 0),
    since date NOT NULL
);

-- Help desk -----------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS backoffice.tickets (
    id text PRIMARY KEY,
    customer_id text NOT NULL REFERENCES backoffice.customers,
    subject text NOT NULL,
    channel text NOT NULL CONSTRAINT tickets_channel_known CHECK (channel IN ('email', 'chat', 'form', 'phone')),
    status text NOT NULL CONSTRAINT tickets_status_known CHECK (status IN ('open', 'pending', 'escalated', 'closed')),
    team text,
    charge_cents bigint CONSTRAINT tickets_charge_positive CHECK (charge_cents > 0),
    opened_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS tickets_by_status ON backoffice.tickets (status, opened_at DESC, id);
CREATE INDEX IF NOT EXISTS tickets_by_customer ON backoffice.tickets (customer_id);

-- The conversation. Message 1 is what the customer opened the ticket with.
CREATE TABLE IF NOT EXISTS backoffice.ticket_messages (
    ticket_id text NOT NULL REFERENCES backoffice.tickets,
    number integer NOT NULL CONSTRAINT ticket_messages_number_positive CHECK (number > 0),
    author text NOT NULL CONSTRAINT ticket_messages_author_known CHECK (author IN ('customer', 'support')),
    body text NOT NULL CONSTRAINT ticket_messages_body_not_blank CHECK (btrim(body) <> ''),
    written_at timestamptz NOT NULL,
    PRIMARY KEY (ticket_id, number)
);

-- Outbox: what the mail system sends to customers.
CREATE SEQUENCE IF NOT EXISTS backoffice.reply_numbers START 1001;
CREATE TABLE IF NOT EXISTS backoffice.replies (
    id text PRIMARY KEY DEFAULT 'RE-' || nextval('backoffice.reply_numbers'),
    ticket_id text NOT NULL,
    message_number integer NOT NULL,
    recipient text NOT NULL,
    body text NOT NULL,
    queued_at timestamptz NOT NULL DEFAULT now(),
    idempotency_key text NOT NULL CONSTRAINT replies_idempotency_key UNIQUE,
    FOREIGN KEY (ticket_id, message_number) REFERENCES backoffice.ticket_messages
);

-- Ledger: money given back. Rows are only ever added.
CREATE SEQUENCE IF NOT EXISTS backoffice.refund_numbers START 1001;
CREATE TABLE IF NOT EXISTS backoffice.refunds (
    id text PRIMARY KEY DEFAULT 'RF-' || nextval('backoffice.refund_numbers'),
    ticket_id text NOT NULL REFERENCES backoffice.tickets,
    amount_cents bigint NOT NULL CONSTRAINT refunds_amount_positive CHECK (amount_cents > 0),
    reason text NOT NULL,
    refunded_at timestamptz NOT NULL DEFAULT now(),
    idempotency_key text NOT NULL CONSTRAINT refunds_idempotency_key UNIQUE
);
CREATE INDEX IF NOT EXISTS refunds_by_ticket ON backoffice.refunds (ticket_id);

CREATE TABLE IF NOT EXISTS backoffice.ticket_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id text NOT NULL REFERENCES backoffice.tickets,
    status text NOT NULL CONSTRAINT ticket_changes_status_known CHECK (status IN ('escalated', 'closed')),
    team text,
    reason text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    idempotency_key text NOT NULL CONSTRAINT ticket_changes_idempotency_key UNIQUE
);
CREATE INDEX IF NOT EXISTS ticket_changes_by_ticket ON backoffice.ticket_changes (ticket_id);

-- CRM -----------------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS backoffice.accounts (
    id text PRIMARY KEY,
    customer_id text CONSTRAINT accounts_customer_key UNIQUE REFERENCES backoffice.customers,
    name text NOT NULL,
    domain text NOT NULL,
    industry text NOT NULL,
    country text NOT NULL CONSTRAINT accounts_country_is_iso CHECK (country ~ '^[A-Z]{2}$'),
    stage text NOT NULL CONSTRAINT accounts_stage_known CHECK (stage IN ('prospect', 'trial', 'customer', 'churned')),
    owner text NOT NULL,
    health integer CONSTRAINT accounts_health_is_percent CHECK (health BETWEEN 0 AND 100),
    note text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS accounts_by_domain ON backoffice.accounts (domain);

CREATE TABLE IF NOT EXISTS backoffice.leads (
    id text PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL CONSTRAINT leads_email_key UNIQUE,
    title text NOT NULL,
    company text NOT NULL,
    domain text NOT NULL,
    country text NOT NULL CONSTRAINT leads_country_is_iso CHECK (country ~ '^[A-Z]{2}$'),
    source text NOT NULL,
    message text NOT NULL,
    status text NOT NULL CONSTRAINT leads_status_known
        CHECK (status IN ('new', 'working', 'qualified', 'disqualified', 'converted')),
    score integer CONSTRAINT leads_score_is_percent CHECK (score BETWEEN 0 AND 100),
    owner text,
    note text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS leads_by_status ON backoffice.leads (status, created_at DESC, id);

-- What changed in the CRM, with what stood there before.
CREATE TABLE IF NOT EXISTS backoffice.crm_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lead_id text REFERENCES backoffice.leads,
    account_id text REFERENCES backoffice.accounts,
    before jsonb NOT NULL,
    after jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    idempotency_key text NOT NULL CONSTRAINT crm_changes_idempotency_key UNIQUE,
    CONSTRAINT crm_changes_concern_one_record CHECK (num_nonnulls(lead_id, account_id) = 1)
);
CREATE INDEX IF NOT EXISTS crm_changes_by_lead ON backoffice.crm_changes (lead_id);
CREATE INDEX IF NOT EXISTS crm_changes_by_account ON backoffice.crm_changes (account_id);

-- Three sources that know something about a lead: a company directory, a contact directory, our own product.
CREATE TABLE IF NOT EXISTS backoffice.company_profiles (
    domain text PRIMARY KEY,
    name text NOT NULL,
    industry text NOT NULL,
    country text NOT NULL,
    employees integer NOT NULL CONSTRAINT company_profiles_employees_positive CHECK (employees > 0),
    revenue_usd bigint,
    founded integer,
    technologies text[] NOT NULL
);
CREATE TABLE IF NOT EXISTS backoffice.contact_profiles (
    email text PRIMARY KEY,
    seniority text NOT NULL CONSTRAINT contact_profiles_seniority_known
        CHECK (seniority IN ('junior', 'senior', 'manager', 'director', 'executive')),
    department text NOT NULL,
    decision_maker boolean NOT NULL,
    deliverable boolean NOT NULL
);
CREATE TABLE IF NOT EXISTS backoffice.product_usage (
    domain text PRIMARY KEY,
    trial_started_on date NOT NULL,
    invited_users integer NOT NULL,
    active_users integer NOT NULL,
    sessions integer NOT NULL,
    bookings integer NOT NULL,
    integrations text[] NOT NULL,
    last_seen_at timestamptz NOT NULL
);

-- CMS -----------------------------------------------------------------------------------------------------------------

-- A page and its revisions. A knowledge-base article is a page of kind `help`.
CREATE TABLE IF NOT EXISTS backoffice.pages (
    slug text PRIMARY KEY CONSTRAINT pages_slug_is_plain CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    kind text NOT NULL CONSTRAINT pages_kind_known CHECK (kind IN ('help', 'blog', 'landing', 'release', 'policy')),
    status text NOT NULL CONSTRAINT pages_status_known CHECK (status IN ('draft', 'published', 'unpublished')),
    latest_revision integer NOT NULL,
    published_revision integer,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pages_published_has_revision CHECK ((status = 'published') = (published_revision IS NOT NULL)),
    CONSTRAINT pages_published_exists CHECK (published_revision <= latest_revision)
);

CREATE TABLE IF NOT EXISTS backoffice.page_revisions (
    slug text NOT NULL REFERENCES backoffice.pages,
    revision integer NOT NULL CONSTRAINT page_revisions_positive CHECK (revision > 0),
    title text NOT NULL CONSTRAINT page_revisions_title_not_blank CHECK (btrim(title) <> ''),
    summary text NOT NULL,
    body text NOT NULL CONSTRAINT page_revisions_body_not_blank CHECK (btrim(body) <> ''),
    author text NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT now(),
    idempotency_key text NOT NULL CONSTRAINT page_revisions_idempotency_key UNIQUE,
    search tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('english', title), 'A')
        || setweight(to_tsvector('english', summary), 'B')
        || setweight(to_tsvector('english', body), 'C')
    ) STORED,
    PRIMARY KEY (slug, revision)
);
CREATE INDEX IF NOT EXISTS page_revisions_search ON backoffice.page_revisions USING gin (search);

-- What the web site serves: its own copy, as a site has one.
CREATE TABLE IF NOT EXISTS backoffice.site_pages (
    slug text PRIMARY KEY,
    revision integer NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    live_since timestamptz NOT NULL,
    FOREIGN KEY (slug, revision) REFERENCES backoffice.page_revisions
);

-- History: what went live and what was rolled back, and what was live before.
CREATE TABLE IF NOT EXISTS backoffice.publications (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text NOT NULL,
    action text NOT NULL CONSTRAINT publications_action_known CHECK (action IN ('publish', 'unpublish')),
    revision integer NOT NULL,
    live_before integer,
    live_after integer,
    reason text NOT NULL DEFAULT '',
    done_at timestamptz NOT NULL DEFAULT now(),
    idempotency_key text NOT NULL CONSTRAINT publications_idempotency_key UNIQUE,
    FOREIGN KEY (slug, revision) REFERENCES backoffice.page_revisions
);
CREATE INDEX IF NOT EXISTS publications_by_page ON backoffice.publications (slug, id DESC);

-- Tasks ---------------------------------------------------------------------------------------------------------------

CREATE SEQUENCE IF NOT EXISTS backoffice.task_numbers START 1001;
CREATE TABLE IF NOT EXISTS backoffice.tasks (
    id text PRIMARY KEY DEFAULT 'TASK-' || nextval('backoffice.task_numbers'),
    title text NOT NULL CONSTRAINT tasks_title_not_blank CHECK (btrim(title) <> ''),
    detail text NOT NULL,
    assignee text,
    priority text NOT NULL CONSTRAINT tasks_priority_known CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    status text NOT NULL DEFAULT 'open' CONSTRAINT tasks_status_known CHECK (status IN ('open', 'done', 'dropped')),
    about text,
    due_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    idempotency_key text NOT NULL CONSTRAINT tasks_idempotency_key UNIQUE
);
CREATE INDEX IF NOT EXISTS tasks_by_status ON backoffice.tasks (status, created_at DESC, id);
CREATE INDEX IF NOT EXISTS tasks_by_assignee ON backoffice.tasks (assignee, status);

-- Metrics and reports -------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS backoffice.metric_definitions (
    area text NOT NULL,
    metric text NOT NULL,
    title text NOT NULL,
    unit text NOT NULL CONSTRAINT metric_definitions_unit_known CHECK (unit IN ('count', 'cents', 'minutes', 'percent')),
    fold text NOT NULL CONSTRAINT metric_definitions_fold_known CHECK (fold IN ('sum', 'mean', 'last')),
    better text NOT NULL CONSTRAINT metric_definitions_better_known CHECK (better IN ('up', 'down')),
    PRIMARY KEY (area, metric)
);
CREATE TABLE IF NOT EXISTS backoffice.metrics (
    area text NOT NULL,
    metric text NOT NULL,
    day date NOT NULL,
    value numeric(14, 2) NOT NULL,
    PRIMARY KEY (area, day, metric),
    FOREIGN KEY (area, metric) REFERENCES backoffice.metric_definitions
);

CREATE SEQUENCE IF NOT EXISTS backoffice.report_numbers START 1001;
CREATE TABLE IF NOT EXISTS backoffice.reports (
    id text PRIMARY KEY DEFAULT 'RP-' || nextval('backoffice.report_numbers'),
    week text NOT NULL CONSTRAINT reports_week_is_iso CHECK (week ~ '^\d{4}-W\d{2}$'),
    title text NOT NULL CONSTRAINT reports_title_not_blank CHECK (btrim(title) <> ''),
    body text NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT now(),
    idempotency_key text NOT NULL CONSTRAINT reports_idempotency_key UNIQUE
);
CREATE INDEX IF NOT EXISTS reports_by_time ON backoffice.reports (saved_at DESC, id);
