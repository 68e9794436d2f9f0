/*
 * Debts: messages that a server waits to hear of.
 *
 *   FREE -> OUT          a message comes                       mqtt_debts_take
 *   OUT -> SETTLED       the program has done with it          mqtt_debts_settle
 *   OUT -> FREE          it is given back                      mqtt_debts_give_back
 *   SETTLED -> FREE      PUBACK is written                     mqtt_debts_pay
 *   SETTLED -> RELEASABLE  PUBREC is written                   mqtt_debts_pay
 *   RELEASABLE -> FREE   PUBREL comes, PUBCOMP is written      mqtt_debts_release
 *
 * Invariants:
 *   I1  The ring holds the identifiers that came on this connection and are OUT or SETTLED, once
 *       each and in order of arrival (Q2), until one is given back.
 *   I2  A server does not use an identifier for another message before it has heard of the first.
 *       So a repeat with the same identifier and the same bytes is the same message (Q3); one with
 *       other bytes means that the server dropped the first, and is new.
 *   I3  A ticket is serial and identifier; it is good while the debt has that serial.
 */
#include "net/mqtt_int.h"

#include "base/assert.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"

void mqtt_debts_init(MqttDebts *debts)
{
    debts->of = mem_new_array(MqttDebt, MQTT_IDS);
    debts->order = mem_new_array(uint16_t, MQTT_IDS);
}

void mqtt_debts_deinit(MqttDebts *debts)
{
    mem_free(debts->of);
    mem_free(debts->order);
}

void mqtt_debts_disconnect(MqttDebts *debts)
{
    debts->first = 0;
    debts->len = 0;
    debts->is_stuck = false;
    debts->connection++;
}

void mqtt_debts_forget(MqttDebts *debts)
{
    for (size_t id = 0; id < MQTT_IDS; id++) {
        if (debts->of[id].state != MQTT_DEBT_FREE)
            debts->of[id] = (MqttDebt){ .state = MQTT_DEBT_FREE };
    }
}

static void push(MqttDebts *debts, uint16_t id)
{
    ASSERT(debts->len < MQTT_IDS); /* I1 */
    debts->order[(debts->first + debts->len) % MQTT_IDS] = id;
    debts->len++;
}

static uint64_t hash_of(const MqttPacket *packet)
{
    return hash_bytes(packet->payload.data, packet->payload.len,
                      hash_bytes(packet->topic.data, packet->topic.len, 0, 0), 1);
}

/* A debt of an earlier connection, or one whose PUBREC the server may not have heard. */
static bool is_known(const MqttDebt *debt, const MqttPacket *packet, uint64_t hash)
{
    if (debt->state == MQTT_DEBT_FREE)
        return false;
    if (debt->state == MQTT_DEBT_RELEASABLE)
        return packet->qos == 2;
    return packet->is_repeat && debt->hash == hash && debt->qos == packet->qos; /* I2 */
}

int mqtt_debts_take(MqttDebts *debts, const MqttPacket *packet, uint64_t *ret_ticket)
{
    MqttDebt *debt = &debts->of[packet->id];
    uint64_t hash = hash_of(packet);

    ASSERT(packet->qos > 0 && packet->id > 0);
    if (debt->connection == debts->connection &&
        (debt->state == MQTT_DEBT_OUT || debt->state == MQTT_DEBT_SETTLED))
        return fail(-ERR_NETWORK, "the MQTT server uses identifier %u twice at once", packet->id);
    push(debts, packet->id);
    if (is_known(debt, packet, hash)) {
        debt->connection = debts->connection;
        if (debt->state == MQTT_DEBT_RELEASABLE)
            debt->state = MQTT_DEBT_SETTLED; /* PUBREC again */
        return MQTT_DEBT_KNOWN;
    }
    debts->serial++;
    *debt = (MqttDebt){ .hash = hash,
                        .serial = debts->serial,
                        .connection = debts->connection,
                        .state = MQTT_DEBT_OUT,
                        .qos = packet->qos };
    *ret_ticket = (uint64_t) debt->serial << 16 | packet->id;
    return MQTT_DEBT_NEW;
}

/* The debt of TICKET while it is out; NULL when the ticket means nothing any more. */
static MqttDebt *debt_of(MqttDebts *debts, uint64_t ticket)
{
    MqttDebt *debt = &debts->of[ticket & 0xffff];

    if (debt->state != MQTT_DEBT_OUT || debt->serial != (uint32_t) (ticket >> 16))
        return NULL; /* I3 */
    return debt;
}

bool mqtt_debts_settle(MqttDebts *debts, uint64_t ticket)
{
    MqttDebt *debt = debt_of(debts, ticket);

    if (!debt)
        return false;
    debt->state = MQTT_DEBT_SETTLED;
    return debt->connection == debts->connection;
}

bool mqtt_debts_give_back(MqttDebts *debts, uint64_t ticket)
{
    MqttDebt *debt = debt_of(debts, ticket);

    if (!debt)
        return false;
    debt->state = MQTT_DEBT_FREE;
    if (debt->connection != debts->connection)
        return false;
    debts->is_stuck = true;
    return true;
}

size_t mqtt_debts_pay(MqttDebts *debts, Buf *out)
{
    size_t n = 0;

    while (debts->len > 0 && !debts->is_stuck) {
        uint16_t id = debts->order[debts->first];
        MqttDebt *debt = &debts->of[id];

        if (debt->state != MQTT_DEBT_SETTLED)
            break;
        ASSERT(debt->connection == debts->connection); /* I1 */
        mqtt_add_ack(out, debt->qos == 2 ? MQTT_PUBREC : MQTT_PUBACK, id);
        debt->state = debt->qos == 2 ? MQTT_DEBT_RELEASABLE : MQTT_DEBT_FREE;
        debts->first = (debts->first + 1) % MQTT_IDS;
        debts->len--;
        n++;
    }
    return n;
}

void mqtt_debts_release(MqttDebts *debts, uint16_t id, Buf *out)
{
    if (debts->of[id].state == MQTT_DEBT_RELEASABLE)
        debts->of[id].state = MQTT_DEBT_FREE;
    /* Of an identifier that is not known, too: it was one of our life before this one. */
    mqtt_add_ack(out, MQTT_PUBCOMP, id);
}
