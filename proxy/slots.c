/* SPDX-License-Identifier: BSD-3-Clause */
/* The slots of all modules as those of one: lists, the calls on a slot, events. */
#include "proxy/instance.h"

#include "base/fork.h"
#include "base/lock.h"
#include "base/message.h"
#include "pkcs11/names.h"
#include "proxy/numbering.h"
#include "proxy/twins.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_EVENT_WAIT_MS 100
#define MAX_EVENT_WAIT_MS 1000
#define MAX_SNAPSHOTS 256

/* A list that grows; the ids are ours. */
struct id_list {
	CK_SLOT_ID *ids; /* owned */
	size_t n, size;
};

static bool
id_list_add(struct id_list *list, CK_SLOT_ID id)
{
	if (list->n == list->size) {
		size_t size = list->size ? list->size * 2 : 32;
		CK_SLOT_ID *ids = reallocarray(list->ids, size, sizeof *ids);
		if (!ids)
			return false;
		list->ids = ids;
		list->size = size;
	}
	list->ids[list->n++] = id;
	return true;
}

static bool
number_of(const struct p11_link *link, CK_SLOT_ID slot, CK_SLOT_ID *id)
{
	if (link->keeps_ids) {
		*id = slot;
		return true;
	}
	return p11_numbering_assign(link->name, link->has_base ? &link->base : NULL, slot, id);
}

/* Appends the numbers of the slots that the module showed last; new ones get theirs now. `list` may
 * be NULL. */
static CK_RV
add_link(struct p11_link *link, bool present, struct id_list *list)
{
	CK_SLOT_ID *slots;
	size_t n_slots;
	CK_RV rv = p11_slots_copy(link->slots, present, &slots, &n_slots);

	if (rv != CKR_OK)
		return rv;
	for (size_t i = 0; rv == CKR_OK && i < n_slots; i++) {
		CK_SLOT_ID id;
		if (!number_of(link, slots[i], &id) || (list && !id_list_add(list, id)))
			rv = p11_fail(CKR_HOST_MEMORY, "no memory for a list of slots");
	}
	free(slots);
	return rv;
}

CK_RV
p11_link_refresh(struct p11_link *link, bool presence, bool now)
{
	CK_RV asked = p11_slots_refresh(link->slots, link->module, presence, now);
	CK_RV rv = add_link(link, false, NULL);

	return asked != CKR_OK ? asked : rv;
}

/* Asks every module that is up, and tries again to start those that are down. A failing one hurts
 * no other. */
static CK_RV
gather(struct p11_instance *instance, unsigned long long owner, bool present, struct id_list *list)
{
	struct p11_links *links = atomic_load(&instance->links);
	CK_RV rv = CKR_OK;

	p11_instance_load_missing(instance, owner);
	for (P11_EACH_LINK(link, links)) {
		(void)p11_link_bring_up(instance, link, owner, 0, false);
		if (!p11_link_is_up(link, owner))
			continue;
		(void)p11_link_refresh(link, present, false);
		rv = add_link(link, present, list);
		if (rv != CKR_OK)
			return rv;
	}
	return rv;
}

/* ---- C_GetSlotList ---- */

/* Takes this thread's snapshot out; NULL if it made none for that question. */
static struct p11_snapshot *
take_snapshot(struct p11_instance *instance, bool token_present)
{
	struct p11_snapshot *found = NULL;

	p11_hold(&p11_proxy_lock);
	for (struct p11_snapshot **link = &instance->snapshots; *link; link = &(*link)->next) {
		if ((*link)->thread != p11_thread()->number ||
		    (*link)->token_present != token_present)
			continue;
		found = *link;
		*link = found->next;
		break;
	}
	p11_let_go(&p11_proxy_lock);
	return found;
}

/* Keeps a snapshot; of many threads that counted and never came back, the oldest ones are
 * forgotten. */
static void
keep_snapshot(struct p11_instance *instance, unsigned long long owner,
	      struct p11_snapshot *snapshot)
{
	struct p11_snapshot **link, *dropped = snapshot;
	int n = 1;

	p11_hold(&p11_proxy_lock);
	if (atomic_load(&instance->owner) == owner) {
		snapshot->next = instance->snapshots;
		instance->snapshots = snapshot;
		for (link = &snapshot->next; *link && n < MAX_SNAPSHOTS; n++)
			link = &(*link)->next;
		dropped = *link; /* at most one, since each call keeps at most one */
		*link = NULL;
	}
	p11_let_go(&p11_proxy_lock);
	free(dropped);
}

static struct p11_snapshot *
snapshot_new(const struct id_list *list, bool token_present)
{
	struct p11_snapshot *snapshot =
		malloc(sizeof *snapshot + list->n * sizeof snapshot->ids[0]);

	if (!snapshot)
		return NULL;
	*snapshot = (struct p11_snapshot){
		.thread = p11_thread()->number,
		.token_present = token_present,
		.n_ids = list->n,
	};
	if (list->n > 0)
		memcpy(snapshot->ids, list->ids, list->n * sizeof list->ids[0]);
	return snapshot;
}

static CK_RV
fill(const CK_SLOT_ID *ids, size_t n_ids, CK_SLOT_ID_PTR out, CK_ULONG_PTR count)
{
	size_t room = *count < n_ids ? *count : n_ids;

	if (room > 0)
		memcpy(out, ids, room * sizeof *ids);
	*count = n_ids;
	return room < n_ids ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

/* The question for the list itself: from the snapshot of the counting call, which stays while the
 * buffer is too small. */
static bool
answer_from_snapshot(struct p11_instance *instance, unsigned long long owner, bool token_present,
		     CK_SLOT_ID_PTR list, CK_ULONG_PTR count, CK_RV *rv)
{
	struct p11_snapshot *snapshot = take_snapshot(instance, token_present);

	if (!snapshot)
		return false;
	*rv = fill(snapshot->ids, snapshot->n_ids, list, count);
	if (*rv == CKR_BUFFER_TOO_SMALL)
		keep_snapshot(instance, owner, snapshot);
	else
		free(snapshot);
	return true;
}

static CK_RV
count_only(struct p11_instance *instance, unsigned long long owner, bool token_present,
	   const struct id_list *gathered, CK_ULONG_PTR count)
{
	struct p11_snapshot *snapshot = snapshot_new(gathered, token_present);

	free(take_snapshot(instance, token_present));
	if (!snapshot)
		return p11_fail(CKR_HOST_MEMORY, "no memory for a list of slots");
	keep_snapshot(instance, owner, snapshot);
	*count = gathered->n;
	return CKR_OK;
}

CK_RV
p11_instance_get_slot_list(CK_BBOOL token_present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count,
			   void *context)
{
	P11_NO_CANCEL;
	struct p11_instance *instance = context;
	struct id_list gathered = {0};
	CK_RV rv;

	p11_fork_check();
	unsigned long long owner = atomic_load(&instance->owner);
	if (owner == 0)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!count)
		return p11_fail(CKR_ARGUMENTS_BAD, "C_GetSlotList needs a place for the count");
	if (list && answer_from_snapshot(instance, owner, token_present, list, count, &rv))
		return rv;

	rv = gather(instance, owner, token_present, &gathered);
	if (rv == CKR_OK && !list)
		rv = count_only(instance, owner, token_present, &gathered, count);
	else if (rv == CKR_OK)
		rv = fill(gathered.ids, gathered.n, list, count);
	free(gathered.ids);
	return rv;
}

/* ---- calls on one slot ---- */

/* The link and the module's own id of a slot; NULL if nobody has it. */
static struct p11_link *
link_of_slot(struct p11_links *links, CK_SLOT_ID slot, CK_SLOT_ID *own)
{
	struct p11_link *first = atomic_load(&links->first);
	bool keeps_ids = first && first->keeps_ids;
	const struct p11_numbered *numbered = keeps_ids ? NULL : p11_numbering_find(slot);

	*own = numbered ? numbered->slot : slot;
	if (keeps_ids || !numbered)
		return keeps_ids ? first : NULL;
	for (P11_EACH_LINK(link, links)) {
		if (link->name == numbered->name)
			return link;
	}
	return NULL;
}

CK_RV
p11_route_enter(struct p11_instance *instance, CK_SLOT_ID slot, struct p11_route *route)
{
	p11_fork_check();
	route->owner = atomic_load(&instance->owner);
	if (route->owner == 0)
		return CKR_CRYPTOKI_NOT_INITIALIZED;

	struct p11_link *link = link_of_slot(atomic_load(&instance->links), slot, &route->slot);
	if (!link)
		return CKR_SLOT_ID_INVALID;
	if (!p11_link_is_up(link, route->owner) || !p11_module_join(link->module))
		return p11_fail(
			CKR_DEVICE_ERROR,
			"module %s: it is not initialized now; the next C_GetSlotList tries again",
			p11_module_label(link->module));
	route->module = link->module;
	route->slots = link->slots;
	route->calls = p11_module_calls(link->module);
	return CKR_OK;
}

void
p11_route_leave(struct p11_route *route)
{
	p11_module_leave(route->module);
}

/* The module's own answer comes through; that it is the module's is said. */
static void
say_mute(const struct p11_route *route, const char *call, CK_RV rv)
{
	p11_message("module %s: %s of its slot 0x%lx failed with %s",
		    p11_module_label(route->module), call, route->slot,
		    p11_rv_name(rv, (char[24]){0}));
}

CK_RV
p11_instance_get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info, void *context)
{
	struct p11_route route;
	CK_RV rv = p11_route_enter(context, slot, &route);

	if (rv != CKR_OK)
		return rv;
	rv = route.calls->C_GetSlotInfo(route.slot, info);
	if (rv == CKR_OK && info)
		p11_slots_saw(route.slots, route.slot, info->flags & CKF_TOKEN_PRESENT);
	else
		say_mute(&route, "C_GetSlotInfo", rv);
	p11_route_leave(&route);
	return rv;
}

CK_RV
p11_instance_get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info, void *context)
{
	struct p11_route route;
	CK_RV rv = p11_route_enter(context, slot, &route);

	if (rv != CKR_OK)
		return rv;
	rv = route.calls->C_GetTokenInfo(route.slot, info);
	if (rv == CKR_OK && info)
		p11_twins_see(route.module, slot, info);
	else if (rv != CKR_TOKEN_NOT_PRESENT)
		say_mute(&route, "C_GetTokenInfo", rv);
	p11_route_leave(&route);
	return rv;
}

CK_RV
p11_instance_get_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count,
				void *context)
{
	struct p11_route route;
	CK_RV rv = p11_route_enter(context, slot, &route);

	if (rv == CKR_OK) {
		rv = route.calls->C_GetMechanismList(route.slot, list, count);
		p11_route_leave(&route);
	}
	return rv;
}

CK_RV
p11_instance_get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info,
				void *context)
{
	struct p11_route route;
	CK_RV rv = p11_route_enter(context, slot, &route);

	if (rv == CKR_OK) {
		rv = route.calls->C_GetMechanismInfo(route.slot, type, info);
		p11_route_leave(&route);
	}
	return rv;
}

CK_RV
p11_instance_init_token(CK_SLOT_ID slot, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len,
			CK_UTF8CHAR_PTR label, void *context)
{
	struct p11_route route;
	CK_RV rv = p11_route_enter(context, slot, &route);

	if (rv == CKR_OK) {
		rv = route.calls->C_InitToken(route.slot, pin, pin_len, label);
		p11_route_leave(&route);
	}
	return rv;
}

/* ---- events ---- */

/* Asks every module, and tries again to start those that are down. */
static void
poll_all(struct p11_instance *instance, unsigned long long owner, bool now)
{
	struct p11_links *links = atomic_load(&instance->links);

	p11_instance_load_missing(instance, owner);
	for (P11_EACH_LINK(link, links)) {
		(void)p11_link_bring_up(instance, link, owner, 0, false);
		if (p11_link_is_up(link, owner))
			p11_slots_poll(link->slots, link->module, now);
	}
}

/* True: the oldest event that this instance was not told yet; it counts as told, and its slot has a
 * number. */
static bool
next_event(struct p11_instance *instance, CK_SLOT_ID *id)
{
	struct p11_links *links = atomic_load(&instance->links);
	unsigned long long after = atomic_load(&instance->last_event), event;
	struct p11_link *found;
	CK_SLOT_ID slot = 0;

	do {
		/* Not one that comes while we look: a module that we have passed already may have
		 * an earlier one by then. */
		event = p11_slots_last_event() + 1;
		found = NULL;
		for (P11_EACH_LINK(link, links)) {
			if (p11_slots_event_after(link->slots, after, &event, &slot))
				found = link;
		}
		if (!found || !number_of(found, slot, id))
			return false;
	} while (!atomic_compare_exchange_weak(&instance->last_event, &after, event));
	return true;
}

CK_RV
p11_instance_wait_for_slot_event(CK_FLAGS flags, CK_SLOT_ID_PTR out, CK_VOID_PTR reserved,
				 void *context)
{
	struct p11_instance *instance = context;
	int wait_ms = FIRST_EVENT_WAIT_MS;
	CK_SLOT_ID id;

	p11_fork_check();
	unsigned long long owner = atomic_load(&instance->owner);
	if (owner == 0)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!out || reserved)
		return p11_fail(CKR_ARGUMENTS_BAD, "C_WaitForSlotEvent needs a place for the slot, "
						   "and NULL for its last argument");

	for (;;) {
		unsigned ticket = p11_slots_ticket();
		p11_fork_check();
		if (atomic_load(&instance->owner) != owner)
			return CKR_CRYPTOKI_NOT_INITIALIZED;
		poll_all(instance, owner, flags & CKF_DONT_BLOCK);
		if (next_event(instance, &id)) {
			*out = id;
			return CKR_OK;
		}
		if (flags & CKF_DONT_BLOCK)
			return atomic_load(&instance->owner) == owner
				       ? CKR_NO_EVENT
				       : CKR_CRYPTOKI_NOT_INITIALIZED;
		p11_slots_wait(ticket, wait_ms);
		pthread_testcancel(); /* nothing is held */
		wait_ms = wait_ms * 2 < MAX_EVENT_WAIT_MS ? wait_ms * 2 : MAX_EVENT_WAIT_MS;
	}
}
