/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The token that the chaos module pretends to be: slots, sessions with handles of every kind, one
 * key, signatures that tell who made them. Sessions are blocks in a hash table of atomics; a block
 * that was used once stays, so nothing is freed under a thread that still looks at it.
 */
#include "chaos-behave.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_BUCKETS 1024
#define N_NUMBERS 65536 /* sessions that CHAOS_HANDLES_REUSE can have open at once */

enum session_state {
	SESSION_FREE,
	SESSION_OPENING,
	SESSION_OPEN,
	SESSION_CLOSING,
};

static struct {
	_Atomic(int) pid;          /* that initialized us; 0: nobody */
	_Atomic(int) changing;     /* the process that begins or ends a life just now, or 0 */
	_Atomic(uint64_t) life;    /* which one this is */
	_Atomic(uint64_t) counted; /* sessions opened since C_Initialize */
	_Atomic(uint64_t) serial;  /* sessions opened ever */
	_Atomic(uint64_t) numbers[N_NUMBERS / 64];
	struct chaos_session *_Atomic buckets[N_BUCKETS];
	struct chaos_session *_Atomic heap;
	struct chaos_slot slots[CHAOS_MAX_SLOTS];
	_Atomic(unsigned) n_slots;
	_Atomic(bool) odd_ids;    /* whether any id is not its index */
	_Atomic(unsigned) listed; /* calls of C_GetSlotList */
} token;

/* Slots */

struct chaos_slot *
token_slot(uint64_t id)
{
	unsigned n = token.n_slots;

	if (id < n && token.slots[id].id == id)
		return &token.slots[id];
	for (unsigned i = 0; token.odd_ids && i < n; i++) {
		if (token.slots[i].id == id)
			return &token.slots[i];
	}
	return NULL;
}

void
token_slots(unsigned n)
{
	if (n > CHAOS_MAX_SLOTS)
		n = CHAOS_MAX_SLOTS;
	for (unsigned i = 0; i < n; i++) {
		token.slots[i].id = i;
		token.slots[i].here = token.slots[i].token = true;
		token.slots[i].event = false;
	}
	token.odd_ids = false;
	token.n_slots = n;
}

void
token_slot_id(unsigned i, uint64_t id)
{
	if (i >= CHAOS_MAX_SLOTS)
		return;
	token.slots[i].id = id;
	token.odd_ids = true;
}

void
token_event(unsigned i)
{
	if (i < CHAOS_MAX_SLOTS)
		token.slots[i].event = true;
}

void
token_plug(unsigned i, bool here)
{
	if (i >= CHAOS_MAX_SLOTS)
		return;
	for (unsigned n = token.n_slots; n <= i; n++) {
		token.slots[n].id = n;
		token.slots[n].here = token.slots[n].token = n == i;
		token.n_slots = n + 1;
	}
	token.slots[i].here = here;
	token_event(i);
}

void
token_token(unsigned i, bool here)
{
	if (i >= CHAOS_MAX_SLOTS)
		return;
	token.slots[i].token = here;
	if (!here)
		token_end_sessions(&token.slots[i]);
	token_event(i);
}

static unsigned long
slot_index(const struct chaos_slot *slot)
{
	return (unsigned long)(slot - token.slots);
}

/* Sessions */

static unsigned
bucket_of(uint64_t handle)
{
	return (unsigned)((handle * 0x9e3779b97f4a7c15u) >> 54);
}

struct chaos_session *
token_session(uint64_t handle)
{
	struct chaos_session *session = token.buckets[bucket_of(handle)];

	for (; session; session = session->next) {
		if (session->handle == handle && session->state == SESSION_OPEN)
			return session;
	}
	return NULL;
}

static bool
claim(struct chaos_session *session, unsigned from, unsigned to)
{
	return atomic_compare_exchange_strong(&session->state, &from, to);
}

static struct chaos_session *
new_session(uint64_t handle, bool heap)
{
	struct chaos_session *session = calloc(1, sizeof(*session));
	if (!session)
		return NULL;
	session->heap = heap;
	session->state = SESSION_OPENING;
	session->handle = heap ? (uint64_t)(uintptr_t)session : handle;

	struct chaos_session *_Atomic *bucket = &token.buckets[bucket_of(session->handle)];
	struct chaos_session *head = *bucket;
	do
		session->next = head;
	while (!atomic_compare_exchange_weak(bucket, &head, session));
	if (!heap)
		return session;
	head = token.heap;
	do
		session->next_heap = head;
	while (!atomic_compare_exchange_weak(&token.heap, &head, session));
	return session;
}

static struct chaos_session *
session_on_heap(void)
{
	for (struct chaos_session *at = token.heap; at; at = at->next_heap) {
		if (claim(at, SESSION_FREE, SESSION_OPENING))
			return at;
	}
	return new_session(0, true);
}

static struct chaos_session *
session_with(uint64_t handle)
{
	for (struct chaos_session *at = token.buckets[bucket_of(handle)]; at; at = at->next) {
		if (!at->heap && claim(at, SESSION_FREE, SESSION_OPENING)) {
			at->handle = handle;
			return at;
		}
	}
	return new_session(handle, false);
}

/* The lowest number from 1 on that no open session has, or 0. */
static uint64_t
lowest_number(void)
{
	for (unsigned i = 0; i < N_NUMBERS / 64; i++) {
		uint64_t used = token.numbers[i];
		while (~used) {
			unsigned bit = (unsigned)__builtin_ctzll(~used);
			if (atomic_compare_exchange_weak(&token.numbers[i], &used,
							 used | 1ull << bit))
				return (uint64_t)i * 64 + bit + 1;
		}
	}
	return 0;
}

static void
give_number_back(struct chaos_session *session)
{
	uint64_t number = atomic_exchange(&session->number, 0);

	if (number)
		token.numbers[(number - 1) / 64] &= ~(1ull << ((number - 1) % 64));
}

/* A session in the state OPENING with its handle, or NULL. */
static struct chaos_session *
reserve(void)
{
	uint64_t forced = atomic_exchange(&chaos.next_handle, 0);
	uint64_t number = 0;

	if (forced)
		return session_with(forced);
	if (chaos.handles == CHAOS_HANDLES_HEAP)
		return session_on_heap();
	if (chaos.handles == CHAOS_HANDLES_REUSE) {
		number = lowest_number();
		if (!number)
			return NULL;
	}
	struct chaos_session *session =
		session_with(chaos.handle_base + (number ? number : ++token.counted));
	if (session)
		session->number = number;
	return session;
}

static bool
end_session(struct chaos_session *session)
{
	if (!claim(session, SESSION_OPEN, SESSION_CLOSING))
		return false;
	give_number_back(session);
	chaos.sessions--;
	struct chaos_slot *slot = session->slot;
	if (--slot->sessions == 0)
		slot->login = 0;
	session->state = SESSION_FREE;
	return true;
}

/* NULL: those of all slots. */
void
token_end_sessions(struct chaos_slot *slot)
{
	for (unsigned i = 0; i < N_BUCKETS; i++) {
		for (struct chaos_session *at = token.buckets[i]; at; at = at->next) {
			if (!slot || at->slot == slot)
				end_session(at);
		}
	}
}

unsigned long
token_notify(uint64_t handle, unsigned long event)
{
	struct chaos_session *session = token_session(handle);
	if (!session)
		return CKR_SESSION_HANDLE_INVALID;
	CK_NOTIFY notify = (CK_NOTIFY)session->notify;
	if (!notify)
		return CKR_FUNCTION_NOT_SUPPORTED;
	return notify((CK_SESSION_HANDLE)handle, event, (void *)(uintptr_t)session->application);
}

/* Life cycle */

bool
token_is_up(void)
{
	int pid = token.pid;

	return pid && (chaos.forked == CHAOS_FORKED_IGNORES || pid == getpid());
}

static void
forget_sessions(void)
{
	token_end_sessions(NULL);
	token.counted = 0;
}

/* Nobody begins a life before the last one is all over. What a parent's thread held is nobody's in a child. */
static void
life_change(void)
{
	int self = getpid(), holder = 0;

	while (!atomic_compare_exchange_weak(&token.changing, &holder, self)) {
		if (holder == self) {
			sched_yield();
			holder = 0;
		}
	}
}

static void
life_changed(void)
{
	token.changing = 0;
}

uint64_t
token_life(void)
{
	return token.life;
}

bool
token_drop(void)
{
	life_change();
	bool was_up = token.pid != 0;
	if (was_up) {
		token.life++;
		token.pid = 0;
		chaos.up = 0;
		forget_sessions();
	}
	life_changed();
	return was_up;
}

void
token_reset(void)
{
	token_slots(1);
	token.listed = 0;
}

static void
note_reserved(const char *text)
{
	unsigned i = 0;

	chaos.init_args.reserved = (uintptr_t)text;
	for (; text && text[i] && i + 1 < sizeof(chaos.init_args.reserved_text); i++)
		chaos.init_args.reserved_text[i] = text[i];
	chaos.init_args.reserved_text[i] = '\0';
}

static bool
try_mutexes(const CK_C_INITIALIZE_ARGS *args)
{
	void *mutex = NULL;

	return args->CreateMutex && args->CreateMutex(&mutex) == CKR_OK &&
	       args->LockMutex(mutex) == CKR_OK && args->UnlockMutex(mutex) == CKR_OK &&
	       args->DestroyMutex(mutex) == CKR_OK;
}

static CK_RV
note_args(const CK_C_INITIALIZE_ARGS *args)
{
	struct chaos_init_args *out = &chaos.init_args;

	out->was_null = !args;
	if (!args)
		return CKR_OK;
	out->flags = args->flags;
	out->mutex[0] = (uintptr_t)args->CreateMutex;
	out->mutex[1] = (uintptr_t)args->DestroyMutex;
	out->mutex[2] = (uintptr_t)args->LockMutex;
	out->mutex[3] = (uintptr_t)args->UnlockMutex;
	note_reserved(args->pReserved);

	int given = !!args->CreateMutex + !!args->DestroyMutex + !!args->LockMutex +
		    !!args->UnlockMutex;
	if (given != 0 && given != 4)
		return CKR_ARGUMENTS_BAD;
	out->mutexes_work = try_mutexes(args);
	if (args->pReserved && !strncmp(args->pReserved, "chaos:", 6) &&
	    !chaos.command((const char *)args->pReserved + 6))
		return CKR_ARGUMENTS_BAD;
	return CKR_OK;
}

CK_RV
behave_C_Initialize(struct visit *visit, CK_VOID_PTR init_args)
{
	(void)visit;
	CK_RV rv = note_args(init_args);
	if (rv != CKR_OK)
		return rv;
	life_change();
	bool was_up = token_is_up();
	if (!was_up) {
		forget_sessions();
		token.pid = getpid();
		chaos.up = 1;
	}
	life_changed();
	return was_up ? CKR_CRYPTOKI_ALREADY_INITIALIZED : CKR_OK;
}

CK_RV
behave_C_Finalize(struct visit *visit, CK_VOID_PTR reserved)
{
	(void)visit;
	if (reserved)
		return CKR_ARGUMENTS_BAD;
	return token_is_up() && token_drop() ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED;
}

/* Information */

static void
pad(CK_UTF8CHAR *out, size_t size, const char *text)
{
	size_t length = strlen(text);

	memset(out, ' ', size);
	memcpy(out, text, length < size ? length : size);
}

CK_RV
behave_C_GetInfo(struct visit *visit, CK_INFO_PTR info)
{
	(void)visit;
	if (!info)
		return CKR_ARGUMENTS_BAD;
	memset(info, 0, sizeof(*info));
	info->cryptokiVersion =
		(CK_VERSION){CHAOS_VERSION >= 300 ? 3 : 2, CHAOS_VERSION == 320   ? 2
							   : CHAOS_VERSION >= 300 ? 0
										  : 40};
	pad(info->manufacturerID, sizeof(info->manufacturerID), "Chaos");
	pad(info->libraryDescription, sizeof(info->libraryDescription), chaos.name);
	info->libraryVersion = (CK_VERSION){1, 0};
	return CKR_OK;
}

/* Whether the list that is being made has slot i; `listed` is the number of the call. */
static bool
is_listed(unsigned i, unsigned n, bool with_token, unsigned listed)
{
	const struct chaos_slot *slot = &token.slots[i];

	if (chaos.list == CHAOS_LIST_FLICKERS && listed % 2 && i == n - 1)
		return false;
	return slot->here && (!with_token || slot->token);
}

CK_RV
behave_C_GetSlotList(struct visit *visit, CK_BBOOL with_token, CK_SLOT_ID_PTR list,
		     CK_ULONG_PTR count)
{
	(void)visit;
	if (!count)
		return CKR_ARGUMENTS_BAD;
	unsigned listed = token.listed++;
	if (chaos.list == CHAOS_LIST_GROWS && list && token.n_slots < CHAOS_MAX_SLOTS)
		token_plug(token.n_slots, true);

	unsigned n = token.n_slots;
	unsigned first = chaos.list == CHAOS_LIST_ROTATES && n ? listed % n : 0;
	CK_ULONG found = 0;
	for (unsigned i = 0; i < n; i++) {
		unsigned at = (first + i) % n;
		if (!is_listed(at, n, with_token, listed))
			continue;
		if (list && found < *count)
			list[found] = (CK_SLOT_ID)token.slots[at].id;
		found++;
	}
	CK_RV rv = list && found > *count ? CKR_BUFFER_TOO_SMALL : CKR_OK;
	*count = found;
	return rv;
}

static void
name_slot(CK_UTF8CHAR *out, size_t size, const struct visit *visit)
{
	char number[24];
	char text[64] = "";
	unsigned long index = slot_index(visit->slot);
	unsigned at = sizeof(number) - 1;

	number[at] = '\0';
	do
		number[--at] = (char)('0' + index % 10);
	while (index /= 10);
	strncat(text, chaos.name, 32);
	strcat(text, " ");
	strcat(text, number + at);
	pad(out, size, text);
}

CK_RV
behave_C_GetSlotInfo(struct visit *visit, CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
	(void)slot;
	if (!info)
		return CKR_ARGUMENTS_BAD;
	memset(info, 0, sizeof(*info));
	name_slot(info->slotDescription, sizeof(info->slotDescription), visit);
	pad(info->manufacturerID, sizeof(info->manufacturerID), "Chaos");
	info->flags = CKF_REMOVABLE_DEVICE | (visit->slot->token ? CKF_TOKEN_PRESENT : 0);
	return CKR_OK;
}

CK_RV
behave_C_GetTokenInfo(struct visit *visit, CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	(void)slot;
	if (!info)
		return CKR_ARGUMENTS_BAD;
	if (!visit->slot->token)
		return CKR_TOKEN_NOT_PRESENT;
	memset(info, 0, sizeof(*info));
	name_slot(info->label, sizeof(info->label), visit);
	pad(info->manufacturerID, sizeof(info->manufacturerID), "Chaos");
	pad(info->model, sizeof(info->model), "chaos");
	pad(info->utcTime, sizeof(info->utcTime), "");
	char label[33] = "";
	memcpy(label, info->label, 32);
	/* The number at the end of the label serves as serial number. */
	label[strcspn(label, " ") + 1 + strcspn(label + strcspn(label, " ") + 1, " ")] = '\0';
	pad(info->serialNumber, sizeof(info->serialNumber), label + strcspn(label, " ") + 1);
	info->flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED;
	info->ulMaxSessionCount = info->ulMaxRwSessionCount = CK_EFFECTIVELY_INFINITE;
	info->ulSessionCount = info->ulRwSessionCount = (CK_ULONG)visit->slot->sessions;
	info->ulMaxPinLen = 64;
	info->ulMinPinLen = 4;
	info->ulTotalPublicMemory = info->ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION;
	info->ulTotalPrivateMemory = info->ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION;
	return CKR_OK;
}

static const CK_MECHANISM_TYPE mechanisms[] = {CKM_RSA_PKCS, CKM_ECDSA, CKM_SHA256};
#define N_MECHANISMS (sizeof(mechanisms) / sizeof(mechanisms[0]))

CK_RV
behave_C_GetMechanismList(struct visit *visit, CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list,
			  CK_ULONG_PTR count)
{
	(void)visit, (void)slot;
	if (!count)
		return CKR_ARGUMENTS_BAD;
	CK_ULONG room = *count;
	*count = N_MECHANISMS;
	if (list && room < N_MECHANISMS)
		return CKR_BUFFER_TOO_SMALL;
	if (list)
		memcpy(list, mechanisms, sizeof(mechanisms));
	return CKR_OK;
}

CK_RV
behave_C_GetMechanismInfo(struct visit *visit, CK_SLOT_ID slot, CK_MECHANISM_TYPE type,
			  CK_MECHANISM_INFO_PTR info)
{
	(void)visit, (void)slot;
	if (!info)
		return CKR_ARGUMENTS_BAD;
	if (type != CKM_RSA_PKCS && type != CKM_ECDSA && type != CKM_SHA256)
		return CKR_MECHANISM_INVALID;
	*info = (CK_MECHANISM_INFO){0, 0, type == CKM_SHA256 ? CKF_DIGEST : CKF_SIGN | CKF_VERIFY};
	return CKR_OK;
}

/* Takes one pending event; false if there is none. */
static bool
take_event(CK_SLOT_ID_PTR slot)
{
	for (unsigned i = 0; i < token.n_slots; i++) {
		if (token.slots[i].event && atomic_exchange(&token.slots[i].event, false)) {
			*slot = (CK_SLOT_ID)token.slots[i].id;
			return true;
		}
	}
	return false;
}

CK_RV
behave_C_WaitForSlotEvent(struct visit *visit, CK_FLAGS flags, CK_SLOT_ID_PTR slot,
			  CK_VOID_PTR reserved)
{
	(void)visit;
	if (!slot || reserved)
		return CKR_ARGUMENTS_BAD;
	if (chaos.no_events)
		return CKR_FUNCTION_NOT_SUPPORTED;
	while (token_is_up()) {
		if (take_event(slot))
			return CKR_OK;
		if (flags & CKF_DONT_BLOCK)
			return CKR_NO_EVENT;
		chaos_pause_ms(1);
	}
	return CKR_CRYPTOKI_NOT_INITIALIZED;
}

/* Sessions */

CK_RV
behave_C_OpenSession(struct visit *visit, CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application,
		     CK_NOTIFY notify, CK_SESSION_HANDLE_PTR out)
{
	(void)slot;
	if (!out)
		return CKR_ARGUMENTS_BAD;
	if (!(flags & CKF_SERIAL_SESSION))
		return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
	if (!visit->slot->token)
		return CKR_TOKEN_NOT_PRESENT;
	struct chaos_session *session = reserve();
	if (!session)
		return CKR_HOST_MEMORY;
	session->serial = ++token.serial;
	session->slot = visit->slot;
	session->flags = flags;
	session->notify = (uintptr_t)notify;
	session->application = (uintptr_t)application;
	session->found = -1;
	visit->slot->sessions++;
	chaos.sessions++;
	CK_SESSION_HANDLE handle = (CK_SESSION_HANDLE)session->handle;
	session->state = SESSION_OPEN;
	if (chaos.notify_on_open && notify)
		notify(handle, CKN_SURRENDER, application);
	*out = handle;
	return CKR_OK;
}

CK_RV
behave_C_CloseSession(struct visit *visit, CK_SESSION_HANDLE handle)
{
	(void)handle;
	return end_session(visit->session) ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
}

CK_RV
behave_C_CloseAllSessions(struct visit *visit, CK_SLOT_ID slot)
{
	(void)slot;
	token_end_sessions(visit->slot);
	return CKR_OK;
}

static CK_STATE
session_state(const struct visit *visit)
{
	bool writes = visit->session->flags & CKF_RW_SESSION;
	unsigned login = visit->slot->login;

	switch (login) {
	case 0:
		return writes ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION;
	case CKU_SO + 1:
		return CKS_RW_SO_FUNCTIONS;
	default:
		return writes ? CKS_RW_USER_FUNCTIONS : CKS_RO_USER_FUNCTIONS;
	}
}

CK_RV
behave_C_GetSessionInfo(struct visit *visit, CK_SESSION_HANDLE handle, CK_SESSION_INFO_PTR info)
{
	(void)handle;
	if (!info)
		return CKR_ARGUMENTS_BAD;
	info->slotID = (CK_SLOT_ID)visit->slot->id;
	info->state = session_state(visit);
	info->flags = (CK_FLAGS)visit->session->flags;
	info->ulDeviceError = 0;
	return CKR_OK;
}

CK_RV
behave_C_Login(struct visit *visit, CK_SESSION_HANDLE handle, CK_USER_TYPE user,
	       CK_UTF8CHAR_PTR pin, CK_ULONG length)
{
	(void)handle;
	if (user != CKU_USER && user != CKU_SO)
		return user == CKU_CONTEXT_SPECIFIC ? CKR_OPERATION_NOT_INITIALIZED
						    : CKR_USER_TYPE_INVALID;
	if (!pin || length != strlen(CHAOS_PIN) || memcmp(pin, CHAOS_PIN, length) != 0)
		return CKR_PIN_INCORRECT;
	unsigned nobody = 0;
	if (atomic_compare_exchange_strong(&visit->slot->login, &nobody, (unsigned)user + 1))
		return CKR_OK;
	return nobody == user + 1 ? CKR_USER_ALREADY_LOGGED_IN : CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
}

CK_RV
behave_C_LoginUser(struct visit *visit, CK_SESSION_HANDLE handle, CK_USER_TYPE user,
		   CK_UTF8CHAR_PTR pin, CK_ULONG length, CK_UTF8CHAR_PTR name, CK_ULONG name_length)
{
	(void)name, (void)name_length;
	return behave_C_Login(visit, handle, user, pin, length);
}

CK_RV
behave_C_Logout(struct visit *visit, CK_SESSION_HANDLE handle)
{
	(void)handle;
	return atomic_exchange(&visit->slot->login, 0) ? CKR_OK : CKR_USER_NOT_LOGGED_IN;
}

CK_RV
behave_C_GetFunctionStatus(struct visit *visit, CK_SESSION_HANDLE handle)
{
	(void)visit, (void)handle;
	return CKR_FUNCTION_NOT_PARALLEL;
}

CK_RV
behave_C_CancelFunction(struct visit *visit, CK_SESSION_HANDLE handle)
{
	(void)visit, (void)handle;
	return CKR_FUNCTION_NOT_PARALLEL;
}

/* The one object */

/* The key's attribute, at most 32 bytes into `value`; -1: it has none such. */
static long
key_attribute(const struct visit *visit, CK_ATTRIBUTE_TYPE type, unsigned char value[32])
{
	CK_ULONG number;
	CK_BBOOL yes = CK_TRUE;

	switch (type) {
	case CKA_CLASS:
		number = CKO_PRIVATE_KEY;
		break;
	case CKA_KEY_TYPE:
		number = CKK_RSA;
		break;
	case CKA_TOKEN:
	case CKA_PRIVATE:
	case CKA_SIGN:
	case CHAOS_VENDOR_ATTRIBUTE:
		memcpy(value, &yes, sizeof(yes));
		return sizeof(yes);
	case CKA_LABEL:
		pad(value, 32, chaos.name);
		return (long)strlen(chaos.name) < 32 ? (long)strlen(chaos.name) : 32;
	case CKA_ID:
		number = slot_index(visit->slot);
		break;
	default:
		return -1;
	}
	memcpy(value, &number, sizeof(number));
	return sizeof(number);
}

CK_RV
behave_C_GetAttributeValue(struct visit *visit, CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object,
			   CK_ATTRIBUTE_PTR attributes, CK_ULONG n)
{
	(void)handle;
	CK_RV rv = CKR_OK;

	if (object != chaos.object_base + CHAOS_KEY)
		return CKR_OBJECT_HANDLE_INVALID;
	for (CK_ULONG i = 0; i < n; i++) {
		CK_ATTRIBUTE *at = &attributes[i];
		unsigned char value[32];
		long length = key_attribute(visit, at->type, value);
		bool fits = length >= 0 && (!at->pValue || at->ulValueLen >= (CK_ULONG)length);

		if (fits && at->pValue)
			memcpy(at->pValue, value, (size_t)length);
		if (length < 0)
			rv = CKR_ATTRIBUTE_TYPE_INVALID;
		else if (!fits)
			rv = CKR_BUFFER_TOO_SMALL;
		at->ulValueLen = fits ? (CK_ULONG)length : CK_UNAVAILABLE_INFORMATION;
	}
	return rv;
}

CK_RV
behave_C_FindObjectsInit(struct visit *visit, CK_SESSION_HANDLE handle, CK_ATTRIBUTE_PTR attributes,
			 CK_ULONG n)
{
	(void)handle;
	int none = -1;
	int found = 1;

	for (CK_ULONG i = 0; i < n; i++) {
		unsigned char value[32];
		long length = key_attribute(visit, attributes[i].type, value);
		if (length < 0 || attributes[i].ulValueLen != (CK_ULONG)length ||
		    memcmp(attributes[i].pValue, value, (size_t)length) != 0)
			found = 0;
	}
	if (!atomic_compare_exchange_strong(&visit->session->found, &none, found))
		return CKR_OPERATION_ACTIVE;
	return CKR_OK;
}

CK_RV
behave_C_FindObjects(struct visit *visit, CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE_PTR objects,
		     CK_ULONG room, CK_ULONG_PTR count)
{
	(void)handle;
	int left = visit->session->found;

	if (!count || (room && !objects))
		return CKR_ARGUMENTS_BAD;
	if (left < 0)
		return CKR_OPERATION_NOT_INITIALIZED;
	*count = 0;
	if (left > 0 && room > 0) {
		objects[0] = (CK_OBJECT_HANDLE)(chaos.object_base + CHAOS_KEY);
		*count = 1;
		visit->session->found = 0;
	}
	return CKR_OK;
}

CK_RV
behave_C_FindObjectsFinal(struct visit *visit, CK_SESSION_HANDLE handle)
{
	(void)handle;
	return atomic_exchange(&visit->session->found, -1) < 0 ? CKR_OPERATION_NOT_INITIALIZED
							       : CKR_OK;
}

/* Signatures */

static void
make_signature(const struct visit *visit, const CK_BYTE *data, CK_ULONG length,
	       struct chaos_signature *out)
{
	memset(out, 0, sizeof(*out));
	out->magic = CHAOS_SIGNATURE_MAGIC;
	out->data_hash = 2166136261u;
	for (CK_ULONG i = 0; i < length; i++)
		out->data_hash = (out->data_hash ^ data[i]) * 16777619u;
	out->slot = visit->slot->id;
	out->session = visit->session->handle;
	out->serial = visit->session->serial;
	strncpy(out->module, chaos.name, sizeof(out->module) - 1);
}

CK_RV
behave_C_Sign(struct visit *visit, CK_SESSION_HANDLE handle, CK_BYTE_PTR data, CK_ULONG length,
	      CK_BYTE_PTR signature, CK_ULONG_PTR signature_length)
{
	struct chaos_signature made;

	(void)handle;
	if (!signature_length || (length && !data))
		return CKR_ARGUMENTS_BAD;
	CK_ULONG room = *signature_length;
	*signature_length = sizeof(made);
	if (signature && room < sizeof(made))
		return CKR_BUFFER_TOO_SMALL;
	if (!signature)
		return CKR_OK;
	make_signature(visit, data, length, &made);
	memcpy(signature, &made, sizeof(made));
	return CKR_OK;
}

CK_RV
behave_C_Verify(struct visit *visit, CK_SESSION_HANDLE handle, CK_BYTE_PTR data, CK_ULONG length,
		CK_BYTE_PTR signature, CK_ULONG signature_length)
{
	struct chaos_signature made;

	(void)handle;
	if (!signature || (length && !data))
		return CKR_ARGUMENTS_BAD;
	if (signature_length != sizeof(made))
		return CKR_SIGNATURE_LEN_RANGE;
	make_signature(visit, data, length, &made);
	return memcmp(signature, &made, sizeof(made)) ? CKR_SIGNATURE_INVALID : CKR_OK;
}

/* Not random at all: the same bytes each time, so that a test can tell whether they came through.
 */
CK_RV
behave_C_GenerateRandom(struct visit *visit, CK_SESSION_HANDLE handle, CK_BYTE_PTR out,
			CK_ULONG length)
{
	(void)visit, (void)handle;
	if (!out)
		return CKR_ARGUMENTS_BAD;
	for (CK_ULONG i = 0; i < length; i++)
		out[i] = (CK_BYTE)(i * 7 + 1);
	return CKR_OK;
}

/* Look-ups */

CK_RV
behave_C_GetFunctionList(struct visit *visit, CK_FUNCTION_LIST_PTR_PTR list)
{
	(void)visit;
	if (!list)
		return CKR_ARGUMENTS_BAD;
	*list = &chaos_list_2_40;
	return CKR_OK;
}

#if CHAOS_VERSION >= 300
CK_RV
behave_C_GetInterfaceList(struct visit *visit, CK_INTERFACE_PTR list, CK_ULONG_PTR count)
{
	(void)visit;
	if (!count)
		return CKR_ARGUMENTS_BAD;
	CK_ULONG room = *count;
	*count = chaos_n_interfaces;
	if (list && room < chaos_n_interfaces)
		return CKR_BUFFER_TOO_SMALL;
	if (list)
		memcpy(list, chaos_interfaces, chaos_n_interfaces * sizeof(*list));
	return CKR_OK;
}

CK_RV
behave_C_GetInterface(struct visit *visit, CK_UTF8CHAR_PTR name, CK_VERSION_PTR version,
		      CK_INTERFACE_PTR_PTR out, CK_FLAGS flags)
{
	(void)visit;
	if (!out || flags || (name && strcmp((const char *)name, "PKCS 11") != 0))
		return CKR_ARGUMENTS_BAD;
	for (unsigned i = 0; i < chaos_n_interfaces; i++) {
		const CK_VERSION *at = chaos_interfaces[i].pFunctionList;
		if (!version || (version->major == at->major && version->minor == at->minor)) {
			*out = &chaos_interfaces[i];
			return CKR_OK;
		}
	}
	return CKR_ARGUMENTS_BAD;
}
#endif
